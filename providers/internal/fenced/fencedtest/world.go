package fencedtest

import (
	"errors"
	"strings"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/providertest"
)

// Zone is that of a World.
const Zone = "example.test."

// World puts the engine on an API of the Vendor, for the contract of a
// provider. with may change the API before it is used.
func World(v *Vendor, log zerolog.Logger, with func(*API)) providertest.World {
	line := &providertest.Line{}
	client := func(owner string) *fenced.Provider {
		api := &API{Vendor: v, Carrier: line, Most: fenced.Size{Records: 16}}
		with(api)
		return fenced.New(api, fenced.Options{Owner: owner, Zones: []string{Zone}, Log: log})
	}
	return providertest.World{
		Zone: Zone, Owner: "shop", Provider: client("shop"),
		Line:     line,
		Throttle: func() { line.Fail(&providers.BusyError{Err: errors.New("one too many")}) },
		Put: func(owner string, s providers.RRSet) error {
			if owner != "" {
				v.Put(Zone, Mark(owner, s.Name))
			}
			v.Put(Zone, s)
			return nil
		},
		Remove: func(key providers.Key) error { v.Remove(Zone, key); return nil },
		All: func() ([]providers.RRSet, error) {
			return v.All(Zone, func(s providers.RRSet) bool { return providers.Steered(s.Type) }), nil
		},
		Types: func() ([]providers.RRSet, error) {
			return v.All(Zone, func(s providers.RRSet) bool { return !providers.Steered(s.Type) && !Own(s) }), nil
		},
		Other:        func(owner string) providers.Provider { return client(owner) },
		Attribute:    func(key providers.Key) (string, error) { return v.Attribute(Zone, key), nil },
		SetAttribute: func(key providers.Key) error { v.SetAttribute(Zone, key, "ask the web team"); return nil },
		Page:         page,
	}
}

// Mark is an owner's record for the name.
func Mark(owner, name string) providers.RRSet {
	return providers.RRSet{Name: providers.OwnerName(name), Type: "TXT", TTL: 60, Data: []string{fenced.Quote(providers.OwnerText(owner))}}
}

// Fence is a fence's record.
func Fence(zone string, f providers.Fence) providers.RRSet {
	return providers.RRSet{Name: providers.FenceName(f.Owner, zone), Type: "TXT", TTL: 60, Data: []string{fenced.Quote(f.String())}}
}

// Own reports whether the set is one of Veer's own records.
func Own(s providers.RRSet) bool { return s.Type == "TXT" && strings.HasPrefix(s.Name, "_veer") }
