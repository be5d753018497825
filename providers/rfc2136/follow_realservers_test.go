//go:build realservers

package rfc2136_test

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// testFollow: a change is followed to a secondary, which asks every second.
func testFollow(t *testing.T, p *primary) {
	zone, port := p.take(t, false), freePort(t)
	_, primaryPort, err := net.SplitHostPort(p.address)
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, nil)
	config := fmt.Sprintf(`options {
	directory %[1]q;
	pid-file none;
	session-keyfile "session.key";
	listen-on port %[2]d { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	dnssec-validation no;
	notify no;
};
controls { };
%[3]szone %[4]q {
	type secondary;
	file "zone";
	primaries port %[5]s { 127.0.0.1 key admin.; };
	min-refresh-time 1;
	max-refresh-time 1;
};
`, dir, port, bindKey(adminKey), zone, primaryPort)
	path := filepath.Join(folder(t, map[string]string{"named.conf": config}), "named.conf")
	start(t, "Transfer completed", "named", "-g", "-4", "-n", "1", "-c", path)
	c := rfc2136.Config{
		Servers: []string{p.address}, Zones: []rfc2136.Zone{{Name: zone}}, Timeout: timeout, Secondaries: []string{local(port)},
		TSIG: rfc2136.TSIG{Name: veerKey.Name, Algorithm: "hmac-sha384", SecretFile: rfc2136test.SecretFile(t, veerKey.Secret)},
	}
	v, err := rfc2136.New(c, rfc2136.Options{Owner: owner, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	from, err := v.Read(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	set := providers.RRSet{Name: "app." + zone, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}
	r, err := v.Apply(t.Context(), from, providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: 1}, []providers.Change{{After: &set}})
	if err != nil {
		t.Fatal(err)
	}
	took, err := v.Follow(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the secondary had the change after %s", took)
	second := rfc2136test.Admin{Dial: dialer(), Address: local(port), Key: adminKey, Zone: zone}
	sets, err := second.All()
	if err != nil || len(sets) != 1 || !sets[0].Equal(set) {
		t.Errorf("when Follow returned, the secondary had %v, %v; want %v", sets, err, set)
	}
}
