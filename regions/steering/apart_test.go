package steering_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

// narrowing is Narrow, or a broken twin of it.
type narrowing func(steering.Policy, []steering.Answer, map[regions.EndpointID]checks.Health) []steering.Answer

// TestNarrow holds `isolation: local` to what DESIGN section 6 says of it.
func TestNarrow(t *testing.T) {
	cov := regionstest.NewCoverage(t, "narrowed", "none up", "unknown kept", "weighted")
	regionstest.Holds(t, func(rt *rapid.T) error {
		met, err := narrows(rt, steering.Narrow)
		cov.Run(met...)
		return err
	})
}

// TestMutantsOfNarrow shows that the property catches what it must.
func TestMutantsOfNarrow(t *testing.T) {
	for _, m := range []struct {
		name string
		twin narrowing
	}{
		{"answers what is up, and nothing where nothing is", func(p steering.Policy, a []steering.Answer, seen map[regions.EndpointID]checks.Health) []steering.Answer {
			return without(p, a, func(id regions.EndpointID) bool { return seen[id] != checks.Up && seen[id] != checks.Degraded })
		}},
		{"unknown counts as down", func(p steering.Policy, a []steering.Answer, seen map[regions.EndpointID]checks.Health) []steering.Answer {
			known := map[regions.EndpointID]checks.Health{}
			for _, svc := range p.Services {
				for _, pool := range svc.Pools {
					for _, e := range pool.Endpoints {
						if known[e.ID] = seen[e.ID]; seen[e.ID] == checks.Unknown {
							known[e.ID] = checks.Down
						}
					}
				}
			}
			return steering.Narrow(p, a, known)
		}},
		{"takes what is up in another location for a reason", func(p steering.Policy, a []steering.Answer, seen map[regions.EndpointID]checks.Health) []steering.Answer {
			up := map[string]bool{}
			for _, one := range steering.Narrow(p, a, seen) {
				up[one.Name] = up[one.Name] || one.Left == 1
			}
			return slices.DeleteFunc(without(p, a, func(id regions.EndpointID) bool { return seen[id] == checks.Down }), func(one steering.Answer) bool { return up[one.Name] && len(one.Data) == 0 })
		}},
		{"narrows nothing", func(_ steering.Policy, a []steering.Answer, _ map[regions.EndpointID]checks.Health) []steering.Answer {
			return a
		}},
		{"moves to what is up elsewhere", func(p steering.Policy, a []steering.Answer, seen map[regions.EndpointID]checks.Health) []steering.Answer {
			in := steering.Input{Policy: p}
			for id, h := range seen {
				in.Verdicts = append(in.Verdicts, regions.Verdict{Endpoint: id, Health: h})
			}
			return steering.Decide(in).Answers
		}},
		{"keeps the TTL", func(p steering.Policy, a []steering.Answer, seen map[regions.EndpointID]checks.Health) []steering.Answer {
			out := steering.Narrow(p, a, seen)
			for i := range out {
				out[i].Left = 0
			}
			return out
		}},
	} {
		regionstest.Caught(t, searches, m.name, func(rt *rapid.T) error {
			_, err := narrows(rt, m.twin)
			return err
		})
	}
}

// without drops every address whose endpoint is out.
func without(p steering.Policy, answers []steering.Answer, out func(regions.EndpointID) bool) []steering.Answer {
	gone := map[string]bool{}
	for _, svc := range p.Services {
		for _, pool := range svc.Pools {
			for _, e := range pool.Endpoints {
				gone[e.Address] = out(e.ID)
			}
		}
	}
	var left []steering.Answer
	for _, a := range answers {
		a.Data = slices.DeleteFunc(slices.Clone(a.Data), func(d string) bool { return gone[d] })
		left = append(left, a)
	}
	return left
}

// narrows draws what the ledger answers and what one vantage sees.
func narrows(t *rapid.T, narrow narrowing) (met []string, err error) {
	sc := drawScene(t)
	steps := sc.play(steering.Decide, realTally, false)
	last := steps[len(steps)-1].out
	seen := map[regions.EndpointID]checks.Health{}
	at := map[string]checks.Health{}
	for _, svc := range sc.policy.Services {
		for _, pool := range svc.Pools {
			for _, e := range pool.Endpoints {
				seen[e.ID] = rapid.SampledFrom(healths).Draw(t, "seen")
				at[e.Address] = seen[e.ID]
			}
		}
	}
	before := text(last.Answers)
	is := narrow(sc.policy, last.Answers, seen)
	if !bytes.Equal(before, text(last.Answers)) {
		return met, fmt.Errorf("the ledger's answers were changed in place")
	}
	fault := func(format string, args ...any) ([]string, error) {
		return met, fmt.Errorf("%s\nledger %v\nseen %v\nnarrowed %v", fmt.Sprintf(format, args...), last.Answers, at, is)
	}
	type group struct{ name, typ, location string }
	sets := func(answers []steering.Answer) (map[providers.Key]steering.Answer, map[group][]string) {
		byKey, data := map[providers.Key]steering.Answer{}, map[group][]string{}
		for _, a := range answers {
			byKey[a.Key()] = a
			g := group{a.Name, a.Type, a.Location}
			data[g] = append(data[g], a.Data...)
		}
		return byKey, data
	}
	had, hadData := sets(last.Answers)
	has, hasData := sets(is)
	works := func(h checks.Health) bool { return h == checks.Up || h == checks.Degraded }
	for g, data := range hadData {
		up := slices.ContainsFunc(data, func(d string) bool { return works(at[d]) })
		for _, d := range data {
			keeps := !up || at[d] != checks.Down
			if slices.Contains(hasData[g], d) != keeps {
				return fault("%s %s: %s, which is %s, is answered: %v", g.name, g.typ, d, at[d], !keeps)
			}
			if up && at[d] == checks.Unknown {
				met = append(met, "unknown kept")
			}
		}
		if !up {
			met = append(met, "none up")
		}
	}
	for k, a := range has {
		was, known := had[k]
		if !known || len(a.Data) == 0 || a.SetID != "" && a.Weight == 0 {
			return fault("%v is empty, or the ledger has none of it", k)
		}
		for _, d := range a.Data {
			if !slices.Contains(was.Data, d) {
				return fault("%v: %s is not the ledger's", k, d)
			}
		}
		switch {
		case len(a.Data) == len(was.Data) && !bytes.Equal(text(a), text(was)):
			return fault("%v: nothing was left out, and it is another answer", k)
		case len(a.Data) < len(was.Data) && a.Left != 1:
			return fault("%v: it was narrowed, and its TTL is not at the floor", k)
		case len(a.Data) < len(was.Data):
			met = append(met, "narrowed")
		}
		if a.SetID != "" {
			met = append(met, "weighted")
		}
	}
	slices.Sort(met)
	return slices.Compact(met), nil
}

// ordering is Ordered, or a broken twin of it.
type ordering func(p steering.Policy, state steering.State, answers []steering.Answer, standing, orders []steering.Override) ([]steering.Answer, []steering.Reason)

// TestOrdered holds what an operator's acts do where no votes can be had.
func TestOrdered(t *testing.T) {
	cov := regionstest.NewCoverage(t, "drained", "refused", "forced", "frozen", "untouched", "rebuilt")
	regionstest.Holds(t, func(rt *rapid.T) error {
		met, err := orders(rt, steering.Ordered)
		cov.Run(met...)
		return err
	})
}

// TestMutantsOfOrdered shows that the property catches what it must.
func TestMutantsOfOrdered(t *testing.T) {
	for _, m := range []struct {
		name string
		twin ordering
	}{
		{"drains the last endpoint", func(p steering.Policy, s steering.State, a []steering.Answer, standing, o []steering.Override) ([]steering.Answer, []steering.Reason) {
			out, why := steering.Ordered(p, s, a, standing, o)
			for _, order := range o {
				if order.Act == steering.Drain {
					out = without(p, out, func(id regions.EndpointID) bool {
						for _, svc := range p.Services {
							for _, pool := range svc.Pools {
								for _, e := range pool.Endpoints {
									if e.ID == id && targets(order.Target, svc, pool, e) {
										return true
									}
								}
							}
						}
						return false
					})
				}
			}
			return out, why
		}},
		{"obeys nothing", func(_ steering.Policy, _ steering.State, a []steering.Answer, _, _ []steering.Override) ([]steering.Answer, []steering.Reason) {
			return a, nil
		}},
		{"decides every service anew", func(p steering.Policy, _ steering.State, a []steering.Answer, standing, o []steering.Override) ([]steering.Answer, []steering.Reason) {
			d := steering.Decide(steering.Input{Policy: p, Overrides: slices.Concat(standing, o)})
			return d.Answers, d.Why
		}},
		{"forgets what stands", func(p steering.Policy, s steering.State, a []steering.Answer, _, o []steering.Override) ([]steering.Answer, []steering.Reason) {
			return steering.Ordered(p, s, a, nil, o)
		}},
	} {
		regionstest.Caught(t, searches, m.name, func(rt *rapid.T) error {
			_, err := orders(rt, m.twin)
			return err
		})
	}
}

// targets reports whether a target is about an endpoint.
func targets(t steering.Target, svc steering.Service, pool steering.Pool, e steering.Endpoint) bool {
	return (t.Service == "" || t.Service == svc.Name) && (t.Region == "" || t.Region == pool.Region) && (t.Address == "" || t.Address == e.Address)
}

func orders(t *rapid.T, ordered ordering) (met []string, err error) {
	sc := drawScene(t)
	sc.beats[len(sc.beats)-1].overrides = nil // what ended with them has ended
	steps := sc.play(steering.Decide, realTally, false)
	last := steps[len(steps)-1].out
	order := drawOverride(t, 1, sc)
	if order.Act == steering.FailbackAct {
		order.Act = steering.Freeze
	}
	if rapid.IntRange(0, 3).Draw(t, "the whole service") == 0 { // a drain of it is refused
		order.Target = steering.Target{Service: rapid.SampledFrom(sc.policy.Services).Draw(t, "which").Name}
	}
	var standing []steering.Override
	if rapid.IntRange(0, 3).Draw(t, "standing") == 0 {
		standing = append(standing, steering.Override{ID: "00", Act: steering.Freeze, By: "bob", Why: "before", Target: steering.Target{Service: sc.policy.Services[0].Name}})
	}
	state := last.Next
	if rapid.Bool().Draw(t, "the state is lost") {
		state, met = steering.State{}, append(met, "rebuilt")
	}
	is, why := ordered(sc.policy, state, last.Answers, standing, []steering.Override{order})
	fault := func(format string, args ...any) ([]string, error) {
		return met, fmt.Errorf("%s\norder %+v standing %d\nlast %v\nordered %v\nwhy %v", fmt.Sprintf(format, args...), order, len(standing), last.Answers, is, why)
	}
	answersOf := func(all []steering.Answer, name string) (out []steering.Answer, data []string) {
		for _, a := range all {
			if a.Name == name {
				out, data = append(out, a), append(data, a.Data...)
			}
		}
		return out, data
	}
	for _, svc := range sc.policy.Services {
		was, wasData := answersOf(last.Answers, svc.Name)
		now, nowData := answersOf(is, svc.Name)
		if len(now) == 0 || slices.ContainsFunc(now, func(a steering.Answer) bool { return len(a.Data) == 0 }) {
			return fault("%s has an empty answer", svc.Name)
		}
		in := map[string]bool{}
		about := false
		for _, pool := range svc.Pools {
			for _, e := range pool.Endpoints {
				in[e.Address] = targets(order.Target, svc, pool, e)
				about = about || in[e.Address]
			}
		}
		frozen := slices.ContainsFunc(standing, func(o steering.Override) bool { return o.Target.Service == svc.Name })
		refused := slices.ContainsFunc(why, func(r steering.Reason) bool { return r.Service == svc.Name && r.Rule == steering.RuleDrainRefused })
		hit := slices.ContainsFunc(wasData, func(d string) bool { return in[d] })
		switch {
		case !about, frozen, order.Act == steering.Freeze, refused, order.Act == steering.Drain && !hit && !service(last, svc.Name).AllDown:
			same := bytes.Equal(text(was), text(now))
			if len(state.Services) == 0 { // the shares by capacity are lost with the state
				same = slices.Equal(wasData, nowData)
			}
			if !same {
				return fault("%s: nothing speaks for another answer", svc.Name)
			}
			switch {
			case refused:
				met = append(met, "refused")
			case order.Act == steering.Freeze && about:
				met = append(met, "frozen")
			default:
				met = append(met, "untouched")
			}
		case order.Act == steering.Force:
			if slices.ContainsFunc(nowData, func(d string) bool { return !in[d] }) {
				return fault("%s: it is forced, and answers something else", svc.Name)
			}
			met = append(met, "forced")
		case order.Act == steering.Drain && hit && !service(last, svc.Name).AllDown:
			if slices.ContainsFunc(nowData, func(d string) bool { return in[d] }) {
				return fault("%s: it answers what is drained", svc.Name)
			}
			met = append(met, "drained")
		}
	}
	slices.Sort(met)
	return slices.Compact(met), nil
}
