package steering_test

import (
	"slices"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// An answer moved when its data or weight did; another TTL is no move.
func TestEntryMoved(t *testing.T) {
	set := func(name string, ttl uint32, data ...string) providers.RRSet {
		return providers.RRSet{Name: name, Type: "A", TTL: ttl, Data: data}
	}
	state := func(services ...steering.ServiceState) steering.State { return steering.State{Services: services} }
	of := func(name string, sets ...providers.RRSet) steering.ServiceState {
		return steering.ServiceState{Name: name, Answer: sets}
	}
	weighted := set("w.", 30, "192.0.2.1")
	weighted.SetID, weighted.Weight = "eu-west", 10
	heavier := weighted
	heavier.Weight = 20
	e := steering.Entry{
		Input: steering.Input{Prev: state(
			of("a.", set("a.", 30, "192.0.2.1")), of("b.", set("b.", 30, "192.0.2.1")), of("gone.", set("gone.", 30, "192.0.2.1")),
			of("w.", weighted))},
		Decision: steering.Decision{Next: state(
			of("a.", set("a.", 5, "192.0.2.1")), of("b.", set("b.", 30, "192.0.2.2")), of("new.", set("new.", 30, "192.0.2.1")),
			of("w.", heavier))},
	}
	if got, want := e.Moved(), []string{"b.", "new.", "w."}; !slices.Equal(got, want) {
		t.Errorf("moved %v, want %v", got, want)
	}
}
