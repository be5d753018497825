package providers_test

import (
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
