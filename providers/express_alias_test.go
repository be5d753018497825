package providers_test

import (
	"strings"
	"testing"

	"github.com/veerdns/veer/providers"
)

// TestExpressAliases: what leads to an alias has the alias's TTL, so that what
// is held and what is wanted are equal, and only that has it.
func TestExpressAliases(t *testing.T) {
	caps := providers.Caps{MinTTL: 1, MaxTTL: 86400, Weights: true, Alias: true, Aliases: map[string]uint32{"lb.eu.example.": 60}}
	cname := func(id, host string) providers.RRSet {
		return providers.RRSet{Name: "app.example.test.", Type: "CNAME", SetID: id, TTL: 30, Data: []string{host}}
	}
	for _, test := range []struct {
		name string
		in   []providers.RRSet
		ttls []uint32 // nil: refused
	}{
		{"an alias, however it is spelled", []providers.RRSet{cname("", "LB.eu.Example")}, []uint32{60}},
		{"another host", []providers.RRSet{cname("", "lb.us.example.")}, []uint32{30}},
		{"weighted aliases", []providers.RRSet{cname("a", "lb.eu.example."), cname("b", "lb.eu.example.")}, []uint32{60, 60}},
		{"an alias beside addresses", []providers.RRSet{cname("a", "lb.eu.example."), {Name: "app.example.test.", Type: "A", SetID: "b", TTL: 30, Data: []string{"192.0.2.1"}}}, []uint32{60, 30}},
		{"an alias beside a CNAME", []providers.RRSet{cname("a", "lb.eu.example."), cname("b", "lb.us.example.")}, nil},
	} {
		out, err := caps.Express(test.in)
		if (err != nil) != (test.ttls == nil) {
			t.Errorf("%s: error %v", test.name, err)
		}
		for i, set := range out {
			if set.TTL != test.ttls[i] {
				t.Errorf("%s: set %d has TTL %d, want %d", test.name, i, set.TTL, test.ttls[i])
			}
			if test.in[i].TTL != 30 {
				t.Errorf("%s: Express changed what it was given", test.name)
			}
		}
	}
}

// TestExpressFlattened: an ALIAS is for a provider that looks hosts up, whatever
// else it can do with aliases.
func TestExpressFlattened(t *testing.T) {
	set := providers.RRSet{Name: "app.example.test.", Type: providers.TypeAlias, TTL: 30, Data: []string{"LB.eu.Example", "lb.eu.example."}}
	able := providers.Caps{MinTTL: 1, MaxTTL: 86400, Flatten: true}
	if _, err := able.Express([]providers.RRSet{set}); err != nil {
		t.Error(err)
	}
	if data := set.Canonical().Data; len(data) != 1 || data[0] != "lb.eu.example." {
		t.Errorf("its hosts are %v", data)
	}
	unable := providers.Caps{MinTTL: 1, MaxTTL: 86400, Weights: true, Alias: true, Aliases: map[string]uint32{"lb.eu.example.": 60}}
	if _, err := unable.Express([]providers.RRSet{set}); err == nil || !strings.Contains(err.Error(), "(ALIAS), which the provider does not look up") {
		t.Errorf("error %v", err)
	}
	fence := providers.Fence{Owner: "o", Term: 1, Holder: "h", Write: 1}
	change := []providers.Change{{After: &set}}
	from := providers.Snapshot{Zone: "example.test."}
	if err := providers.CheckWrite(able, "o", from, fence, change); err != nil {
		t.Error(err)
	}
	if err := providers.CheckWrite(unable, "o", from, fence, change); err == nil {
		t.Error("a provider that looks nothing up takes an ALIAS")
	}
}
