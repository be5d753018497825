package steering_test

import (
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

// TestALocationIsAFailoverService plays each story twice: with a geo service,
// and with each of its locations as a failover service of its own. Both give
// the same answers. So what holds of failover services holds of each location.
func TestALocationIsAFailoverService(t *testing.T) {
	cov := regionstest.NewCoverage(t, events...)
	regionstest.Holds(t, func(rt *rapid.T) error {
		sc := drawScene(rt)
		steps, err := locationsAreServices(rt, sc, steering.Decide, realTally)
		cov.Run(sc.events(steps)...)
		return err
	})
}

func TestMutantsOfGeo(t *testing.T) {
	for _, m := range []struct {
		name string
		prop property
		dec  decide
	}{
		{"a location has its own pools only", noAnswerIsEmpty, listedPoolsOnly},
		{"a location has its own pools only", locationsAreServices, listedPoolsOnly},
		{"all locations have the default's pool", locationsAreServices, defaultForAll},
		{"a location forgets where it was", locationsAreServices, forgetsLocations},
		{"a location forgets where it was", unknownMovesNothing, forgetsLocations},
		{"a location is held after a departure", onlyReturnsAreDelayed, holdsLocation},
		{"the order of locations matters", orderNeverMatters, firstLocationOnly},
	} {
		regionstest.Caught(t, searches, m.name, func(rt *rapid.T) error {
			sc := drawScene(rt)
			geo(rt, &sc)
			_, err := m.prop(rt, sc, m.dec, realTally)
			return err
		})
	}
}

// geo makes the scene's services geo services.
func geo(t *rapid.T, sc *scene) {
	for i := range sc.policy.Services {
		svc := &sc.policy.Services[i]
		svc.Kind, svc.Demand = steering.Geo, 0
		svc.Locations = drawLocations(t, *svc)
	}
}

func locationsAreServices(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	geo(t, &sc)
	steps := sc.play(dec, tal, false)
	for _, svc := range sc.policy.Services {
		for _, l := range append(slices.Clone(svc.Locations), steering.Location{Name: steering.DefaultLocation}) {
			alone := sc
			alone.policy.Services = []steering.Service{svc.At(l)}
			for i, s := range alone.play(steering.Decide, tal, false) {
				was, is := service(s.out, svc.Name), service(steps[i].out, svc.Name).At(l.Name)
				if !sameData(was, is) || !slices.Equal(was.Serving, is.Serving) || was.AllDown != is.AllDown {
					return steps, fmt.Errorf("step %d: %s in %s has %v of %v; a failover service has %v of %v", i, svc.Name, l.Name, is.Answer, is.Serving, was.Answer, was.Serving)
				}
			}
		}
	}
	return steps, nil
}

// listedPoolsOnly leaves out of each location's answer what its order does not
// name.
func listedPoolsOnly(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	for i := range d.Next.Services {
		s := &d.Next.Services[i]
		for _, svc := range in.Policy.Services {
			if svc.Name != s.Name {
				continue
			}
			for _, l := range svc.Locations {
				if served := s.At(l.Name).Serving; !s.AllDown && len(served) == 1 && !slices.Contains(l.Order, served[0]) {
					s.Answer = slices.DeleteFunc(s.Answer, func(set providers.RRSet) bool { return set.Location == l.Name })
					d.Answers = slices.DeleteFunc(d.Answers, func(a steering.Answer) bool { return a.Name == s.Name && a.Location == l.Name })
				}
			}
		}
	}
	return d
}

func defaultForAll(in steering.Input) steering.Decision {
	in.Policy.Services = slices.Clone(in.Policy.Services)
	for i := range in.Policy.Services {
		svc := &in.Policy.Services[i]
		svc.Locations = slices.Clone(svc.Locations)
		for k := range svc.Locations {
			svc.Locations[k].Order = nil
		}
	}
	return steering.Decide(in)
}

func forgetsLocations(in steering.Input) steering.Decision {
	in.Prev.Services = slices.Clone(in.Prev.Services)
	for i := range in.Prev.Services {
		in.Prev.Services[i].Answer, in.Prev.Services[i].Locations = nil, nil
	}
	return steering.Decide(in)
}

// holdsLocation keeps each location but the default where it was.
func holdsLocation(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	for i := range d.Next.Services {
		s := &d.Next.Services[i]
		for _, was := range in.Prev.Services {
			if was.Name != s.Name || len(was.Answer) == 0 {
				continue
			}
			s.Answer = slices.DeleteFunc(s.Answer, func(set providers.RRSet) bool { return set.Location != steering.DefaultLocation })
			for _, set := range was.Answer {
				if set.Location != steering.DefaultLocation {
					s.Answer = append(s.Answer, set)
				}
			}
		}
	}
	return d
}

// firstLocationOnly names the service's first location in a reason.
func firstLocationOnly(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	d.Why = append(d.Why, steering.Reason{Service: in.Policy.Services[0].Name, Text: "first"})
	return d
}

// geoInput is a service of two pools, where l0 prefers the second.
func geoInput() steering.Input {
	in := twoPools()
	svc := &in.Policy.Services[0]
	svc.Kind, svc.Locations = steering.Geo, []steering.Location{{Name: "l0", Order: []regions.Name{"us"}}}
	return in
}

// at is what the clients of a location are answered.
func at(d steering.Decision, location string) string {
	for _, a := range d.Answers {
		if a.Location == location {
			return a.Data[0]
		}
	}
	return ""
}

func TestGeoStories(t *testing.T) {
	in := then(geoInput(), checks.Up, checks.Up)
	if d := steering.Decide(in); at(d, "l0") != "192.0.2.2" || at(d, steering.DefaultLocation) != "192.0.2.1" {
		t.Errorf("all is up, and the answers are %v", d.Answers)
	}
	down := then(in, checks.Up, checks.Down)
	if d := steering.Decide(down); at(d, "l0") != "192.0.2.1" || at(d, steering.DefaultLocation) != "192.0.2.1" {
		t.Errorf("us is down, and the answers are %v", d.Answers)
	}
	// What is said of one location names it, what is said of all does not.
	frozen := in
	frozen.Overrides = []steering.Override{{ID: "1", Act: steering.Freeze, By: "alice", Why: "test"}}
	if d := steering.Decide(frozen); len(d.Why) != 1 || d.Why[0].Location != "" {
		t.Errorf("frozen, and the reasons are %+v", d.Why)
	}
	if d := steering.Decide(in); len(d.Why) != 2 || d.Why[0].Location != steering.DefaultLocation || d.Why[1].Location != "l0" {
		t.Errorf("the reasons are %+v", d.Why)
	}
}

// TestGeoBeginsWithWhatWasAnswered turns a failover service into a geo service,
// and back, while nothing is known: nobody's answer moves.
func TestGeoBeginsWithWhatWasAnswered(t *testing.T) {
	in := then(twoPools(), checks.Up, checks.Up)
	in.Verdicts = nil
	geo := in
	geo.Policy = geoInput().Policy
	d := steering.Decide(geo)
	if at(d, "l0") != "192.0.2.1" || at(d, steering.DefaultLocation) != "192.0.2.1" {
		t.Errorf("nothing is known, and the answers became %v", d.Answers)
	}
	geo.Verdicts = in.Verdicts
	back := in
	back.Prev = through(steering.Decide(then(geo, checks.Up, checks.Up)).Next)
	back.Verdicts = nil
	if d := steering.Decide(back); len(d.Answers) != 1 || d.Answers[0].Location != "" || d.Answers[0].Data[0] != "192.0.2.1" {
		t.Errorf("back without locations, and the answers are %v", d.Answers)
	}
}
