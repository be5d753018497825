// Package propertytest holds properties 6 and 8 of a provider as properties of
// random zones, writers, edits by hand and mishaps of the network, for
// regions/regionstest: each is a Find, so that a broken twin can be shown to be
// caught. It is for tests only.
package propertytest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/regions/regionstest"
)

// Owner is the owner whose provider is tested, Other another one.
const (
	Owner = "shop"
	Other = "blog"
)

// World is a provider's side of an empty zone.
type World struct {
	Zone string
	// Client is an owner's client, whose requests the carrier brings.
	Client func(owner string, c providertest.Carrier) providers.Provider
	// Put writes a set of any type past every fence; with an owner, its name
	// becomes the owner's. Remove deletes one.
	Put    func(owner string, set providers.RRSet) error
	Remove func(key providers.Key) error
	// All returns every set of every type, without Veer's own.
	All func() ([]providers.RRSet, error)
	// Attribute and SetAttribute are as in providertest.World; nil: there are
	// none.
	Attribute    func(key providers.Key) string
	SetAttribute func(key providers.Key, text string)
}

// labels are few, so that writers meet.
var labels = []string{"a", "b", "*", `x\.y`, "c.a"}

func (w World) name(rt *rapid.T) string {
	return rapid.SampledFrom(labels).Draw(rt, "label") + "." + w.Zone
}

// sets draws what a name answers: addresses, or a CNAME.
func sets(rt *rapid.T, name string) []providers.RRSet {
	ttl := rapid.SampledFrom([]uint32{60, 300}).Draw(rt, "ttl")
	data := func(format string) []string {
		var out []string
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 1, 3, rapid.ID[int]).Draw(rt, "data") {
			out = append(out, fmt.Sprintf(format, n))
		}
		return out
	}
	a := providers.RRSet{Name: name, Type: "A", TTL: ttl, Data: data("192.0.2.%d")}
	aaaa := providers.RRSet{Name: name, Type: "AAAA", TTL: ttl, Data: data("2001:db8::%d")}
	switch rapid.IntRange(0, 3).Draw(rt, "shape") {
	case 0:
		return []providers.RRSet{a}
	case 1:
		return []providers.RRSet{a, aaaa}
	case 2:
		return []providers.RRSet{aaaa}
	}
	return []providers.RRSet{{Name: name, Type: "CNAME", TTL: ttl, Data: []string{"x.example.org."}}}
}

// Events8 are what Property8 must meet.
var Events8 = []string{"a creation", "a change", "a deletion", "a foreign name is refused", "an edit between read and write", "a name is taken", "a name is released", "other types stand beside"}

// Property8 holds that applying twice gives an empty diff, and that what the
// owner does not own is never changed, nor an attribute that Veer does not set.
func Property8(fresh func() World, cov *regionstest.Coverage) regionstest.Find {
	return func(rt *rapid.T) error {
		z := &zone8{World: fresh(), rt: rt, write: 1}
		z.client = z.Client(Owner, straight{})
		if err := z.populate(); err != nil {
			return err
		}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			if err := z.step(); err != nil {
				return fmt.Errorf("%w\n  after:\n  %s", err, strings.Join(z.log, "\n  "))
			}
		}
		if cov != nil {
			cov.Run(z.met...)
		}
		return nil
	}
}

// straight carries each request once.
type straight struct{}

func (straight) Carry(ctx context.Context, r providertest.Request) (any, error) { return r.Send(ctx) }

// zone8 is one case of Property8.
type zone8 struct {
	World
	rt     *rapid.T
	client providers.Provider
	write  uint64
	met    []string
	log    []string
}

func (z *zone8) meet(event string) { z.met = append(z.met, event) }
func (z *zone8) note(format string, args ...any) {
	z.log = append(z.log, fmt.Sprintf(format, args...))
}

// populate fills the zone by hand: names of Veer's, of another Veer's and of
// nobody's, other types beside them, attributes.
func (z *zone8) populate() error {
	for _, label := range labels {
		name := label + "." + z.Zone
		owner := rapid.SampledFrom([]string{Owner, Owner, Other, "", "none"}).Draw(z.rt, "owner")
		if owner == "none" {
			continue
		}
		for _, s := range sets(z.rt, name) {
			if err := z.put(owner, s); err != nil {
				return err
			}
			if z.SetAttribute != nil && rapid.Bool().Draw(z.rt, "attribute") {
				z.SetAttribute(s.Canonical().Key(), "of "+name)
			}
			if s.Type != "CNAME" && rapid.Bool().Draw(z.rt, "beside") {
				z.meet("other types stand beside")
				if err := z.put("", providers.RRSet{Name: name, Type: "MX", TTL: 300, Data: []string{"10 mail.example.org."}}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (z *zone8) put(owner string, s providers.RRSet) error {
	z.note("by hand: %s (owner %q)", text(s), owner)
	return z.Put(owner, s)
}

// step reads, perhaps lets somebody edit, writes, and looks at all.
func (z *zone8) step() error {
	from, err := z.client.Read(context.Background(), z.Zone)
	if err != nil {
		return err
	}
	was, err := z.picture()
	if err != nil {
		return err
	}
	if rapid.IntRange(0, 4).Draw(z.rt, "act") == 0 {
		return z.own(from, was)
	}
	name := z.name(z.rt)
	var want []providers.RRSet
	if rapid.IntRange(0, 3).Draw(z.rt, "delete") > 0 {
		want = sets(z.rt, name)
	}
	var have []providers.RRSet
	for _, s := range slices.Concat(from.Records, from.Foreign) {
		if s.Name == providers.CanonicalName(name) {
			have = append(have, s)
		}
	}
	changes := providers.Diff(have, want)
	edited := rapid.IntRange(0, 5).Draw(z.rt, "edit") == 0
	if edited {
		z.meet("an edit between read and write")
		for _, s := range sets(z.rt, z.name(z.rt)) {
			if s.Type == "CNAME" {
				continue
			}
			if err := z.put("", s); err != nil {
				return err
			}
		}
		if was, err = z.picture(); err != nil {
			return err
		}
	}
	next := z.next(len(changes))
	_, err = z.client.Apply(context.Background(), from, next, changes)
	z.note("write %s: %v", texts(want), err)
	if after := z.unchanged(was, from, name, err == nil); after != nil {
		return after
	}
	foreign := len(have) > 0 && !slices.Contains(from.Owned, providers.CanonicalName(name)) || from.Owners[providers.CanonicalName(name)] != ""
	switch {
	case err == nil && foreign && len(changes) > 0:
		return fmt.Errorf("%s is not owned, and was written", name)
	case err != nil && !foreign && !edited:
		return fmt.Errorf("writing %s: %w", name, err)
	case err != nil && foreign:
		z.meet("a foreign name is refused")
	case err == nil && !foreign && !edited:
		return z.twice(name, have, want)
	}
	return nil
}

// twice looks whether the same, applied again, has anything to change.
func (z *zone8) twice(name string, have, want []providers.RRSet) error {
	switch {
	case len(want) == 0 && len(have) > 0:
		z.meet("a deletion")
	case len(have) == 0 && len(want) > 0:
		z.meet("a creation")
	case len(want) > 0:
		z.meet("a change")
	}
	again, err := z.client.Read(context.Background(), z.Zone)
	if err != nil {
		return err
	}
	var now []providers.RRSet
	for _, s := range again.Records {
		if s.Name == providers.CanonicalName(name) {
			now = append(now, s)
		}
	}
	if d := providers.Diff(now, want); len(d) > 0 {
		return fmt.Errorf("after %s was written as %s the diff is %+v, want none", name, texts(want), d)
	}
	return nil
}

// own takes or releases a name.
func (z *zone8) own(from providers.Snapshot, was picture) error {
	keeper, ok := z.client.(providers.Keeper)
	if !ok {
		return nil
	}
	name := providers.CanonicalName(z.name(z.rt))
	take, release := []string{name}, []string(nil)
	owned := slices.Contains(from.Owned, name)
	if owned {
		take, release = nil, []string{name}
	}
	_, err := keeper.Own(context.Background(), from, z.next(1), take, release)
	z.note("take %v, release %v: %v", take, release, err)
	switch theirs := from.Owners[name] != ""; {
	case err == nil && theirs:
		return fmt.Errorf("%s of another owner was taken", name)
	case err != nil && !theirs:
		return fmt.Errorf("take %v, release %v: %w", take, release, err)
	case err == nil && owned:
		z.meet("a name is released")
	case err == nil:
		z.meet("a name is taken")
	}
	now, err := z.picture()
	if err != nil {
		return err
	}
	return was.same(now, "taking or releasing "+name)
}

func (z *zone8) next(changes int) providers.Fence {
	f := providers.Fence{Owner: Owner, Term: 1, Holder: "h", Write: z.write}
	z.write += providers.WritesOf(changes)
	return f
}

// picture is all that a zone holds, in words, by key.
type picture map[providers.Key]string

func (z *zone8) picture() (picture, error) {
	all, err := z.All()
	if err != nil {
		return nil, err
	}
	p := picture{}
	for _, s := range all {
		s = s.Canonical()
		p[s.Key()] = text(s)
		if z.Attribute != nil {
			p[s.Key()] += ", attribute " + z.Attribute(s.Key())
		}
	}
	return p, nil
}

func (p picture) same(now picture, what string) error {
	for key, was := range p {
		if now[key] != was {
			return fmt.Errorf("%s changed %s to %q", what, was, now[key])
		}
	}
	for key, is := range now {
		if _, ok := p[key]; !ok {
			return fmt.Errorf("%s made %s", what, is)
		}
	}
	return nil
}

// unchanged compares all that a write to the name may not change: with every
// write what is not a steered set of that name, and attributes of what stays.
func (z *zone8) unchanged(was picture, from providers.Snapshot, name string, done bool) error {
	now, err := z.picture()
	if err != nil {
		return err
	}
	mine := slices.Contains(from.Owned, providers.CanonicalName(name)) || done
	attribute := func(words string) string { _, a, _ := strings.Cut(words, ", attribute "); return a }
	for key, before := range was {
		after, still := now[key]
		if key.Name == providers.CanonicalName(name) && providers.Steered(key.Type) && mine && done {
			if still && attribute(before) != attribute(after) {
				return fmt.Errorf("a write of %s made the attribute of %s to that of %s", name, before, after)
			}
			delete(was, key)
			delete(now, key)
		}
	}
	if done {
		for key := range now {
			if key.Name == providers.CanonicalName(name) && providers.Steered(key.Type) {
				delete(now, key)
			}
		}
	}
	return was.same(now, "a write of "+name)
}

func text(s providers.RRSet) string {
	return fmt.Sprintf("%s %s %s %d %s", s.Name, s.Type, s.SetID, s.TTL, strings.Join(s.Data, " "))
}

func texts(all []providers.RRSet) string {
	var out []string
	for _, s := range all {
		out = append(out, text(s))
	}
	return "[" + strings.Join(out, "; ") + "]"
}
