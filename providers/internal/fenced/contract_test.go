package fenced_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
	"github.com/veerdns/veer/providers/providertest"
)

// apis are the kinds of API that there are.
var apis = map[string]func(*fencedtest.API){
	"exact":                  func(*fencedtest.API) {},
	"exact set by set":       func(a *fencedtest.API) { a.Claims = true },
	"insists on fence alone": func(a *fencedtest.API) { a.Inexact, a.Claims = true, true },
}

func TestContract(t *testing.T) {
	for name, with := range apis {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.World {
				return fencedtest.World(fencedtest.New(fencedtest.Zone), zerolog.New(zerolog.NewTestWriter(t)), with)
			})
		})
	}
}

// TestMutantAPI: a vendor that breaks one rule is found by the contract; by
// the proof of the swap, where the fence itself is void.
func TestMutantAPI(t *testing.T) {
	for name, c := range map[string]struct {
		broken fencedtest.Rule
		by     string // the test that must find it, or any for ""
		says   string
	}{
		"no precondition":              {fencedtest.Precondition, "", "does not refuse a stale write"},
		"a fence is created over one":  {fencedtest.Absence, "", "does not refuse a stale write"},
		"the same request is accepted": {fencedtest.Anew, "", "does not refuse a stale write"},
		"a refused request is made":    {fencedtest.Atomic, "", "does not refuse a stale write"},
		"a refused request moves":      {fencedtest.Unmoved, "", "does not refuse a stale write"},
		"steps are not compared":       {fencedtest.Steps, "a foreign change between read and apply conflicts", ""},
		"a first record goes in":       {fencedtest.Firsts, "what comes in between read and a name's first record stays", ""},
		"attributes are lost":          {fencedtest.Attributes, "attributes that Veer does not set are kept", ""},
		"one page is listed":           {fencedtest.Pages, "all pages are read", ""},
	} {
		t.Run(name, func(t *testing.T) {
			failed := providertest.Failures(t, func(*testing.T) providertest.World {
				return fencedtest.World(fencedtest.New(fencedtest.Zone).Without(c.broken), zerolog.Nop(), func(*fencedtest.API) {})
			})
			for _, test := range slices.Sorted(maps.Keys(failed)) {
				if said := failed[test]; (c.by == "" || c.by == test) && strings.Contains(said, c.says) {
					t.Logf("found by %q: %s", test, said)
					return
				}
			}
			t.Fatalf("not found by %q with %q; found by %v", c.by, c.says, failed)
		})
	}
}

var _ fenced.API = (*fencedtest.API)(nil)
