package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

const planZone = "example.test."

func set(name, typ string, data ...string) providers.RRSet {
	return providers.RRSet{Name: name, Type: typ, TTL: 30, Data: data}
}

// answersOf are the answers of a ledger that says exactly this.
func answersOf(sets ...providers.RRSet) []steering.Answer {
	out := make([]steering.Answer, 0, len(sets))
	for _, s := range sets {
		out = append(out, steering.Answer{RRSet: s})
	}
	return out
}

// planned is a zone as somebody left it, and what a plan makes of it.
type planned struct {
	ours, others, nobodys []providers.RRSet
	caps                  *providers.Caps
	answers               []steering.Answer
	services              []steering.Service
	takes                 func(string) bool
}

// bounded is a provider that can express less.
type bounded struct {
	providers.Provider
	caps providers.Caps
}

func (b bounded) Caps() providers.Caps { return b.caps }

func (p planned) plan(t *testing.T) controller.ZonePlan {
	t.Helper()
	store := memory.NewStore(planZone)
	for owner, sets := range map[string][]providers.RRSet{"test": p.ours, "blog": p.others, "": p.nobodys} {
		for _, s := range sets {
			if err := store.Put(planZone, owner, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	var provider providers.Provider = store.Provider("test")
	have, err := provider.Read(t.Context(), planZone)
	if err != nil {
		t.Fatal(err)
	}
	if p.caps != nil {
		provider = bounded{provider, *p.caps}
	}
	w := controller.Written{Name: "z", Zone: planZone, Provider: provider, Takes: p.takes}
	return controller.PlanZone(w, have, p.answers, steering.Policy{Services: p.services})
}

// said is the plan in short: "+" creates, "-" deletes, "~" replaces.
func said(changes []providers.Change) []string {
	out := []string{}
	for _, c := range changes {
		switch {
		case c.Before == nil:
			out = append(out, fmt.Sprintf("+%s %s %v", c.After.Name, c.After.Type, c.After.Data))
		case c.After == nil:
			out = append(out, fmt.Sprintf("-%s %s %v", c.Before.Name, c.Before.Type, c.Before.Data))
		default:
			out = append(out, fmt.Sprintf("~%s %s %v %v", c.After.Name, c.After.Type, c.Before.Data, c.After.Data))
		}
	}
	return out
}

func TestPlanZone(t *testing.T) {
	const www = "www.example.test."
	app1, app2 := set(app, "A", "192.0.2.1"), set(app, "A", "192.0.2.2")
	weighted := app1
	weighted.SetID, weighted.Weight = "eu", 1
	services := []steering.Service{service(app, 0, one, two), service(www, 0, one, two)}
	for name, c := range map[string]struct {
		planned
		changes, held, pruned []string
		refused               []string // name: the begin of why
	}{
		"a first answer is created": {
			planned: planned{answers: answersOf(app1)},
			changes: []string{"+app.example.test. A [192.0.2.1]"},
		},
		"what is so already is left": {planned: planned{ours: []providers.RRSet{app1}, answers: answersOf(app1)}},
		"an answer that moved is replaced": {
			planned: planned{ours: []providers.RRSet{app1}, answers: answersOf(app2)},
			changes: []string{"~app.example.test. A [192.0.2.1] [192.0.2.2]"},
		},
		"another type of an answered name is deleted": {
			planned: planned{ours: []providers.RRSet{app1, set(app, "AAAA", "2001:db8::1")}, answers: answersOf(app1)},
			changes: []string{"-app.example.test. AAAA [2001:db8::1]"},
		},
		"a foreign record is refused, and holds no other up": {
			planned: planned{nobodys: []providers.RRSet{set(app, "CNAME", "old.example.test.")}, answers: answersOf(app1, set(www, "A", "192.0.2.1"))},
			changes: []string{"+www.example.test. A [192.0.2.1]"},
			refused: []string{app + ": a record stands there already, which Veer does not own: veer import " + app},
		},
		"another owner's name is refused": {
			planned: planned{others: []providers.RRSet{app1}, answers: answersOf(app2)},
			refused: []string{app + ": it belongs to blog"},
		},
		"what the provider cannot express is refused": {
			planned: planned{
				caps: &providers.Caps{MinTTL: 60, MaxTTL: 86400}, ours: []providers.RRSet{set(app, "A", "192.0.2.9")},
				answers: answersOf(weighted, providers.RRSet{Name: www, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}),
			},
			changes: []string{"+www.example.test. A [192.0.2.1]"},
			refused: []string{app + ": app.example.test. A has weights"},
		},
		"weights are compared as the provider holds them": {
			planned: planned{
				caps:    &providers.Caps{Weights: true, MaxWeight: 255, MaxTTL: 86400},
				ours:    []providers.RRSet{{Name: app, Type: "A", SetID: "eu", Weight: 255, TTL: 30, Data: []string{"192.0.2.1"}}},
				answers: answersOf(providers.RRSet{Name: app, Type: "A", SetID: "eu", Weight: 100000, TTL: 30, Data: []string{"192.0.2.1"}}),
			},
		},
		"a service that only the ledger knows is held": {
			planned: planned{
				ours:    []providers.RRSet{set("gone.example.test.", "A", "192.0.2.3")},
				answers: answersOf(set("gone.example.test.", "A", "192.0.2.4"), set("new.example.test.", "A", "192.0.2.4")),
			},
			held: []string{"gone.example.test."}, pruned: []string{"-gone.example.test. A [192.0.2.3]"},
		},
		"a service without an answer is neither held nor pruned": {
			planned: planned{ours: []providers.RRSet{app1}},
		},
		"a service that went to another provider is held here": {
			planned: planned{
				ours: []providers.RRSet{app1}, answers: answersOf(app2),
				takes: func(name string) bool { return name == www },
			},
			held: []string{app}, pruned: []string{"-app.example.test. A [192.0.2.1]"},
		},
		"names of other zones are not for this one": {
			planned: planned{
				answers:  answersOf(set("app.example.net.", "A", "192.0.2.1")),
				services: []steering.Service{service("app.example.net.", 0, one, two)},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.services == nil {
				c.services = services
			}
			got := c.plan(t)
			for _, part := range []struct {
				what      string
				got, want []string
			}{{"changes", said(got.Changes), c.changes}, {"held", got.Held, c.held}, {"prune", said(got.Prune), c.pruned}} {
				if diff := cmp.Diff(part.want, part.got); diff != "" && len(part.want)+len(part.got) > 0 {
					t.Errorf("%s (-want +got):\n%s", part.what, diff)
				}
			}
			if len(got.Refused) != len(c.refused) {
				t.Fatalf("refused %v, want %v", got.Refused, c.refused)
			}
			for i, r := range got.Refused {
				if text := r.Name + ": " + r.Why; !strings.HasPrefix(text, c.refused[i]) {
					t.Errorf("refused %q, want %q", text, c.refused[i])
				}
			}
			if got.Guard != "" {
				t.Errorf("the guard says %q", got.Guard)
			}
		})
	}
}

// The guard counts what no steering explains, and lets pass what it does.
func TestPlanZoneGuard(t *testing.T) {
	for _, c := range []struct {
		owned, strange, moved, created int
		guarded                        bool
	}{
		{owned: 9, strange: 9}, // too few to judge
		{owned: 10, strange: 3},
		{owned: 10, strange: 4, guarded: true},
		{owned: 10, strange: 4, moved: 6, created: 5, guarded: true},
		{owned: 100, strange: 30, moved: 70},
		{owned: 100, strange: 31, guarded: true},
		{owned: 100, moved: 100, created: 100}, // a region failed
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			var p planned
			for i := range c.owned + c.created {
				name := fmt.Sprintf("s%03d.%s", i, planZone)
				is, want := set(name, "A", "192.0.2.1"), set(name, "A", "192.0.2.1")
				switch {
				case i < c.strange:
					is.Data = []string{"203.0.113.1"} // which no config names
				case i < c.strange+c.moved:
					want.Data, want.TTL = []string{"192.0.2.2"}, 60
				}
				if i < c.owned {
					p.ours = append(p.ours, is)
				}
				p.services = append(p.services, service(name, 0, one, two))
				p.answers = append(p.answers, steering.Answer{RRSet: want})
			}
			got := p.plan(t)
			if (got.Guard != "") != c.guarded {
				t.Errorf("guard %q", got.Guard)
			}
			if n := c.strange + c.moved + c.created; len(got.Changes) != n {
				t.Errorf("%d changes, want %d", len(got.Changes), n)
			}
			safe := c.strange + c.moved + c.created
			if c.guarded {
				safe = c.moved + c.created
			}
			if n := len(got.Safe()); n != safe {
				t.Errorf("%d changes are safe, want %d", n, safe)
			}
		})
	}
}

// Pruning counts for the guard.
func TestPlanZoneGuardsPrune(t *testing.T) {
	p := planned{services: []steering.Service{}}
	for i := range 10 {
		name := fmt.Sprintf("s%d.%s", i, planZone)
		p.ours = append(p.ours, set(name, "A", "192.0.2.1"))
		if i < 7 {
			p.services = append(p.services, service(name, 0, one, two))
		}
	}
	changes, guard := p.plan(t).Pruned()
	if len(changes) != 3 || guard != "" {
		t.Errorf("%v, guard %q", said(changes), guard)
	}
	p.services = slices.Delete(p.services, 0, 1)
	changes, guard = p.plan(t).Pruned()
	if len(changes) != 4 || guard == "" {
		t.Errorf("%v, guard %q", said(changes), guard)
	}
}

// The fallback's addresses are the service's own, and so is a host name in
// another spelling.
func TestPlanZoneKnowsTheFallback(t *testing.T) {
	var p planned
	for i := range 10 {
		name := fmt.Sprintf("s%d.%s", i, planZone)
		s := service(name, 0, one, regions.EndpointID("web@lb.example.net"))
		s.Fallback = []string{"198.51.100.9"}
		p.services = append(p.services, s)
		p.ours = append(p.ours, set(name, "CNAME", "LB.example.net"))
		p.answers = append(p.answers, steering.Answer{RRSet: set(name, "A", "198.51.100.9")})
	}
	if got := p.plan(t); got.Guard != "" || len(got.Changes) != 20 {
		t.Errorf("%d changes, guard %q", len(got.Changes), got.Guard)
	}
}
