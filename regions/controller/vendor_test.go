package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// vendor is a provider in memory that counts, and fails as it is told.
type vendor struct {
	*memory.Provider
	store *memory.Store

	mu             sync.Mutex
	reads, applies int
	fences         []providers.Fence
	changes        []int // of each attempt
	// read and apply, when set, may fail a call before it is made.
	read  func() error
	apply func(next providers.Fence, changes []providers.Change) error
	// follow, when set, makes the vendor tell when a change has spread.
	follow func(ctx context.Context) (time.Duration, error)
}

func newVendor(zones ...string) *vendor {
	if len(zones) == 0 {
		zones = []string{planZone}
	}
	store := memory.NewStore(zones...)
	return &vendor{Provider: store.Provider("test"), store: store}
}

func (v *vendor) Read(ctx context.Context, zone string) (providers.Snapshot, error) {
	v.mu.Lock()
	v.reads++
	fail := v.read
	v.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return providers.Snapshot{}, err
		}
	}
	return v.Provider.Read(ctx, zone)
}

func (v *vendor) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	v.mu.Lock()
	v.applies++
	v.fences, v.changes = append(v.fences, next), append(v.changes, len(changes))
	fail := v.apply
	v.mu.Unlock()
	if fail != nil {
		if err := fail(next, changes); err != nil {
			return providers.Receipt{}, err
		}
	}
	got, err := v.Provider.Apply(ctx, from, next, changes)
	if v.follow != nil && len(changes) > 0 {
		got.Change = fmt.Sprint(next.Write)
	}
	return got, err
}

func (v *vendor) Follow(ctx context.Context, _ providers.Receipt) (time.Duration, error) {
	return v.follow(ctx)
}

// hooks sets how calls fail from now on.
func (v *vendor) hooks(read func() error, apply func(providers.Fence, []providers.Change) error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read, v.apply = read, apply
}

func (v *vendor) counts() (reads, applies int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reads, v.applies
}

// has is the data of a name, "" for none.
func (v *vendor) has(t *testing.T, name string) string {
	t.Helper()
	all, err := v.store.All(planZone)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return strings.Join(s.Data, " ")
		}
	}
	return ""
}

// zones is a rig whose controller writes one zone of a vendor, and whose log is
// kept.
type zones struct {
	*rig
	v   *vendor
	c   *controller.Controller
	out *lines
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// said are the log's lines with the text.
func (l *lines) said(text string) []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(l.buf.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["message"] == text {
			out = append(out, m)
		}
	}
	return out
}

// writing runs a test with a controller that writes n services into a vendor's
// zone. Their endpoints are one and two.
func writing(t *testing.T, n int, before func(z *zones), f func(z *zones)) {
	t.Helper()
	var services []steering.Service
	for i := range n {
		services = append(services, service(nameOf(i), 0, one, two))
	}
	bubble(t, services, func(r *rig) {
		z := &zones{rig: r, v: newVendor(), out: &lines{}}
		r.o.Log = zerolog.New(z.out)
		r.o.Providers = []controller.Written{{Name: "v", Zone: planZone, Provider: z.v}}
		r.voteAll(checks.Up, one, two)
		if before != nil {
			before(z)
		}
		z.start()
		f(z)
	})
}

func nameOf(i int) string { return fmt.Sprintf("s%02d.%s", i, planZone) }

// start runs the controller until the bubble ends, and keeps it in hand.
func (z *zones) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	z.c = controller.New(z.o)
	go func() { done <- z.c.Run(ctx) }()
	stopped := false
	z.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			z.t.Errorf("Run: %v", err)
		}
	}
	synctest.Wait()
}

// state is how the zone stands.
func (z *zones) state() controller.ZoneState {
	z.t.Helper()
	synctest.Wait()
	all := z.c.Zones()
	if len(all) == 0 {
		z.t.Fatal("nobody leads")
	}
	return all[0]
}

func (z *zones) want(state controller.ZoneStatus) controller.ZoneState {
	z.t.Helper()
	got := z.state()
	if got.State != state {
		z.t.Fatalf("the zone is %s, want %s: %+v", got.State, state, got)
	}
	return got
}

func (z *zones) ask(req controller.Request) controller.ZoneOutcome {
	z.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req.By, req.Why = "op", "test"
	out, err := z.c.Apply(ctx, req)
	if err != nil || len(out) != 1 {
		z.t.Fatalf("%+v, %v", out, err)
	}
	return out[0]
}

// byHand changes a record past Veer.
func (z *zones) byHand(i int, data string) {
	z.t.Helper()
	if err := z.v.store.Put(planZone, "", set(nameOf(i), "A", data)); err != nil {
		z.t.Fatal(err)
	}
}
