package authority

import (
	"net/netip"
	"testing"

	"github.com/veerdns/veer/regions/steering"
)

// TestTheRestOfTheClients gives a location all clients that are in no other, and
// its own.
func TestTheRestOfTheClients(t *testing.T) {
	network := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	for name, locations := range map[string][]Location{
		"with networks of its own": {{Name: "us", Networks: network("192.0.2.0/24")}, {Name: "eu", Networks: network("192.0.2.128/25"), Rest: true}},
		"without":                  {{Name: "us", Networks: network("192.0.2.0/25")}, {Name: "eu", Rest: true}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAtlas(nowhere(), locations)
			for client, want := range map[string]string{"192.0.2.1": "us", "192.0.2.200": "eu", "203.0.113.1": "eu", "2001:db8::1": "eu"} {
				if is, _ := a.find(netip.MustParseAddr(client)); is != want {
					t.Errorf("%s is in %s, expected %s", client, is, want)
				}
			}
			if is, depth := a.find(netip.Addr{}); is != "eu" || depth != 0 {
				t.Errorf("a client without an address is in %s by %d bits", is, depth)
			}
		})
	}
	if is, _ := newAtlas(nowhere(), []Location{{Name: "us", Networks: network("192.0.2.0/24")}}).find(netip.MustParseAddr("203.0.113.1")); is != steering.DefaultLocation {
		t.Errorf("without one, all others are in %s", is)
	}
	if sameLocation(Location{Name: "eu"}, Location{Name: "eu", Rest: true}) {
		t.Error("two services share an atlas that are not alike")
	}
}
