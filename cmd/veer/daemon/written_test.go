package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/regions/controller"
)

const writtenProviders = `providers:
  here: {kind: authority, listen: ["127.0.0.1:0"], zones: [{name: example.test, file: example.test.zone}]}
  one: {kind: powerdns, url: "http://127.0.0.1:1", api_key_file: key, zones: [{name: example.test}]}
  two: {kind: rfc2136, servers: ["127.0.0.1:1"], zones: [{name: example.test}, {name: app.example.test}]}
`

// stores are the vendors of a lab's written providers, in memory.
type stores struct {
	one, two *memory.Store
	// lost cuts the way to one.
	lost atomic.Bool
	// refusals is how many reads of one fail at first.
	refusals atomic.Int32
}

// client is a provider of a store that tells the lab what happens.
type client struct {
	providers.Provider
	name string
	s    *stores
	l    *lab
}

var errLost = errors.New("no route to the provider")

func (c client) Read(ctx context.Context, zone string) (providers.Snapshot, error) {
	defer c.l.kick()
	if c.name == "one" && (c.s.lost.Load() || c.s.refusals.Add(-1) >= 0) {
		return providers.Snapshot{}, errLost
	}
	return c.Provider.Read(ctx, zone)
}

func (c client) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	defer c.l.kick()
	if c.name == "one" && c.s.lost.Load() {
		return providers.Receipt{}, errLost
	}
	return c.Provider.Apply(ctx, from, next, changes)
}

// newWrittenLab has the app answered by its own server and by two providers.
func newWrittenLab(t *testing.T) (*lab, *stores) {
	l := newLab(t)
	text := fmt.Sprintf(labConfig, l.port, markerName())
	head, rest, _ := strings.Cut(text, "providers:\n")
	_, rest, _ = strings.Cut(rest, "monitors:\n")
	l.write("key", "k3y")
	l.write("veer.yaml", head+writtenProviders+"monitors:\n"+rest+"reconcile: 1s\n")
	s := &stores{one: memory.NewStore("example.test"), two: memory.NewStore("example.test", "app.example.test")}
	l.open = func(c *config.Config, p config.Provider, _ zerolog.Logger) (providers.Provider, error) {
		store := map[string]*memory.Store{"one": s.one, "two": s.two}[p.Name]
		return client{store.Provider(c.Owner), p.Name, s, l}, nil
	}
	return l, s
}

// has waits until a zone at a vendor answers with one address.
func (l *lab) has(store *memory.Store, zone, want string) {
	l.t.Helper()
	l.until(zone+" has "+want, func() bool {
		all, err := store.All(zone)
		if err != nil {
			l.t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(s providers.RRSet) bool { return s.Name == appName && slices.Equal(s.Data, []string{want}) })
	})
}

// zone finds a zone's state in the status.
func zone(st api.Status, provider, name string) controller.ZoneState {
	i := slices.IndexFunc(st.Zones, func(z controller.ZoneState) bool { return z.Provider == provider && z.Zone == name })
	if i < 0 {
		return controller.ZoneState{}
	}
	return st.Zones[i]
}

// TestWrittenProvidersThroughALoss moves an answer in two providers, each by
// itself: one that cannot be reached holds up no other, is told, and is mended
// when it comes back.
func TestWrittenProvidersThroughALoss(t *testing.T) {
	l, s := newWrittenLab(t)
	l.start("eu-west")
	l.start("us-east", "prober")
	l.watch()
	l.has(s.one, "example.test", "127.0.0.11")
	l.has(s.two, "app.example.test", "127.0.0.11") // the longest zone
	if all, err := s.two.All("example.test"); err != nil || slices.ContainsFunc(all, func(s providers.RRSet) bool { return s.Name == appName }) {
		t.Errorf("the shorter zone has %v (%v)", all, err)
	}
	l.status("eu-west", func(st api.Status) bool {
		return len(st.Zones) == 3 && zone(st, "one", "example.test.").State == controller.ZoneOK && zone(st, "two", "app.example.test.").State == controller.ZoneOK
	})

	s.lost.Store(true)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.has(s.two, "app.example.test", "127.0.0.12")
	st := l.status("eu-west", func(st api.Status) bool {
		z := zone(st, "one", "example.test.")
		return z.State == controller.ZoneFailing && len(z.Behind) == 2
	})
	if z := zone(st, "one", "example.test."); !strings.Contains(z.Error, "no route") {
		t.Errorf("the zone's error is %q", z.Error)
	}
	if !slices.ContainsFunc(st.Warnings, func(w string) bool {
		return strings.HasPrefix(w, "example.test at one: it cannot be written for") && strings.Contains(w, "2 answers are older ones there")
	}) {
		t.Errorf("the warnings are %q", st.Warnings)
	}
	if z := zone(st, "two", "app.example.test."); z.State != controller.ZoneOK {
		t.Errorf("the other provider is %+v", z)
	}

	s.lost.Store(false)
	l.has(s.one, "example.test", "127.0.0.12")
	l.status("eu-west", func(st api.Status) bool {
		z := zone(st, "one", "example.test.")
		return z.State == controller.ZoneOK && len(z.Behind) == 0
	})
}

// TestRebuiltLedgerStartsAboveTheFences: a ledger that knows nothing is given
// zones that an earlier one wrote in a high term, one of which answers only
// later. Its first term is above.
func TestRebuiltLedgerStartsAboveTheFences(t *testing.T) {
	l, s := newWrittenLab(t)
	s.refusals.Store(2)
	for _, f := range []struct {
		store *memory.Store
		zone  string
		term  uint64
	}{{s.two, "example.test", 40}, {s.one, "example.test", 41}} {
		if err := f.store.PutFence(f.zone, providers.Fence{Owner: "lab", Term: f.term, Holder: "before", Write: 7}); err != nil {
			t.Fatal(err)
		}
	}
	l.start("eu-west")
	cl := l.watch()
	l.has(s.one, "example.test", "127.0.0.11")
	if _, term, err := cl.Leader(t.Context()); err != nil || term != 42 {
		t.Errorf("term %d (%v), want 42: the first above the fences", term, err)
	}
	entries, err := l.client("eu-west").Journal(t.Context(), "", 0, false)
	if err != nil || len(entries) == 0 || entries[0].Term != 42 {
		t.Errorf("%d decisions (%v); the first one must be of term 42", len(entries), err)
	}

	// A fence that is seen only while it leads costs one more election, not one
	// for each term between.
	if err := s.one.PutFence("example.test", providers.Fence{Owner: "lab", Term: 90, Holder: "restored", Write: 70}); err != nil {
		t.Fatal(err)
	}
	l.until("term 91", func() bool {
		have, err := s.one.Read("lab", "example.test")
		return err == nil && have.Fence.Term == 91
	})
}

// TestRebuiltLedgerHoldsWhatTheZonesAnswer: a ledger that knows nothing finds
// traffic away from the preferred pool, which is down, and leaves it there.
func TestRebuiltLedgerHoldsWhatTheZonesAnswer(t *testing.T) {
	l, s := newWrittenLab(t)
	if err := s.two.PutFence("app.example.test", providers.Fence{Owner: "lab", Term: 40, Holder: "before", Write: 7}); err != nil {
		t.Fatal(err)
	}
	away := providers.RRSet{Name: appName, Type: "A", TTL: 5, Data: []string{"127.0.0.12"}}
	if err := s.two.Put("app.example.test", "lab", away); err != nil {
		t.Fatal(err)
	}
	l.down("127.0.0.11")
	l.start("eu-west")
	l.watch()
	l.has(s.one, "example.test", "127.0.0.12")
	entries, err := l.client("eu-west").Journal(t.Context(), appName, 0, false)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d decisions, %v", len(entries), err)
	}
	for _, e := range entries {
		for _, a := range e.Decision.Answers {
			if a.Name == appName && !slices.Equal(a.Data, away.Data) {
				t.Errorf("decision %d of term %d answers %v: nothing was known that could move it from %v", e.Seq, e.Term, a.Data, away.Data)
			}
		}
	}
}
