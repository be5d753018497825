package providers_test

import (
	"testing"

	"github.com/veerdns/veer/providers"
)

func TestPlainNames(t *testing.T) {
	plain, whole := providers.Caps{MinTTL: 1, MaxTTL: 60, Plain: true}, providers.Caps{MinTTL: 1, MaxTTL: 60}
	for name, ok := range map[string]bool{
		"app.example.test.":         true,
		"*.example.test.":           true,
		`\042.Example.test`:         true,
		"_veer.xn--bcher-kva.test.": true,
		`a\.b.example.test.`:        false,
		`a\046b.example.test.`:      false,
		"a.*.example.test.":         false,
		"a*.example.test.":          false,
		`b\252cher.example.test.`:   false,
		"a b.example.test.":         false,
	} {
		set := []providers.RRSet{{Name: name, Type: "A", TTL: 30, Data: []string{"192.0.2.1"}}}
		if _, err := plain.Express(set); (err == nil) != ok {
			t.Errorf("%s: error %v, want plain %v", name, err, ok)
		}
		if _, err := whole.Express(set); err != nil {
			t.Errorf("%s: %v where every name can be written", name, err)
		}
	}
}

func TestAutoTTLEqualsEveryTTL(t *testing.T) {
	set := func(ttl uint32, data string) providers.RRSet {
		return providers.RRSet{Name: "a.test.", Type: "A", TTL: ttl, Data: []string{data}}
	}
	auto := set(300, "192.0.2.1")
	auto.AutoTTL = true
	for _, c := range []struct {
		a, b  providers.RRSet
		equal bool
	}{
		{set(60, "192.0.2.1"), set(60, "192.0.2.1"), true},
		{set(60, "192.0.2.1"), set(61, "192.0.2.1"), false},
		{auto, set(61, "192.0.2.1"), true},
		{set(61, "192.0.2.1"), auto, true},
		{auto, set(61, "192.0.2.2"), false},
	} {
		if c.a.Equal(c.b) != c.equal || (len(providers.Diff([]providers.RRSet{c.a}, []providers.RRSet{c.b})) == 0) != c.equal {
			t.Errorf("%v and %v: want equal %v", c.a, c.b, c.equal)
		}
	}
}
