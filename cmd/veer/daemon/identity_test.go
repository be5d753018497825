package daemon_test

import (
	"testing"

	"github.com/miekg/dns"
)

// The config is the same file everywhere; what a server tells of itself is its
// own region all the same.
func TestIdentityNamesTheRegion(t *testing.T) {
	l := newLab(t)
	l.edit("{kind: authority,", `{kind: authority, identity: "ns-{region}",`)
	l.start("eu-west")
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: "id.server.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}}
	r, err := dns.Exchange(m, l.server)
	if err != nil || len(r.Answer) != 1 || r.Answer[0].(*dns.TXT).Txt[0] != "ns-eu-west" {
		t.Errorf("id.server: %v, %v", r, err)
	}
}
