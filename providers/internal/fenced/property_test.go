package fenced_test

import (
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/propertytest"
	"github.com/veerdns/veer/regions/regionstest"
)

// properties is a fresh vendor for a property, by an API of the kind.
func properties(with func(*fencedtest.API), fence bool, rules ...fencedtest.Rule) func() propertytest.World {
	return func() propertytest.World {
		v := fencedtest.New(zone).Without(rules...)
		return propertytest.World{
			Zone: zone,
			Client: func(owner string, c providertest.Carrier) providers.Provider {
				api := &fencedtest.API{Vendor: v, Carrier: c, Most: fenced.Size{Records: 12}}
				with(api)
				p := fenced.New(api, fenced.Options{Owner: owner, Zones: []string{zone}, Log: zerolog.Nop()})
				if !fence {
					p = p.With(fencedtest.Unfenced)
				}
				return p
			},
			Put: func(owner string, s providers.RRSet) error {
				if owner != "" {
					v.Put(zone, fencedtest.Mark(owner, s.Name))
				}
				v.Put(zone, s)
				return nil
			},
			Remove: func(key providers.Key) error { v.Remove(zone, key); return nil },
			All: func() ([]providers.RRSet, error) {
				return v.All(zone, func(s providers.RRSet) bool { return !fencedtest.Own(s) }), nil
			},
			Attribute:    func(key providers.Key) string { return v.Attribute(zone, key) },
			SetAttribute: func(key providers.Key, text string) { v.SetAttribute(zone, key, text) },
		}
	}
}

func TestProperty6(t *testing.T) {
	for name, with := range apis {
		t.Run(name, func(t *testing.T) {
			cov := regionstest.NewCoverage(t, propertytest.Events6...)
			regionstest.Holds(t, propertytest.Property6(properties(with, true), cov))
		})
	}
}

func TestProperty8(t *testing.T) {
	for name, with := range apis {
		t.Run(name, func(t *testing.T) {
			cov := regionstest.NewCoverage(t, propertytest.Events8...)
			regionstest.Holds(t, propertytest.Property8(properties(with, true), cov))
		})
	}
}

// TestMutantProperties shows that each property tells a broken engine or API
// from the right one.
func TestMutantProperties(t *testing.T) {
	for name, with := range apis {
		regionstest.Caught(t, 1000, "property 6: the fence is switched off, "+name, propertytest.Property6(properties(with, false), nil))
		regionstest.Caught(t, 1000, "property 8: attributes are lost, "+name, propertytest.Property8(properties(with, true, fencedtest.Attributes), nil))
	}
	exact := apis["exact"]
	regionstest.Caught(t, 1000, "property 6: the API compares no precondition", propertytest.Property6(properties(exact, true, fencedtest.Precondition), nil))
	regionstest.Caught(t, 1000, "property 8: the API lists one page", propertytest.Property8(properties(exact, true, fencedtest.Pages), nil))
}
