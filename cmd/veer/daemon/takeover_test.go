package daemon_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// fenceLog is what was written at the vendors, in order.
type fenceLog struct {
	mu sync.Mutex
	by map[string][]providers.Fence // by provider and zone
}

// watched is a provider whose writes are logged when they have taken effect.
type watched struct {
	providers.Provider
	name string
	log  *fenceLog
}

func (w watched) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	got, err := w.Provider.Apply(ctx, from, next, changes)
	if err == nil {
		w.log.mu.Lock()
		key := w.name + " " + from.Zone
		w.log.by[key] = append(w.log.by[key], got.Fence)
		w.log.mu.Unlock()
	}
	return got, err
}

// onlyGrow finds a write that went back.
func (f *fenceLog) onlyGrow() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for zone, fences := range f.by {
		for i, is := range fences[1:] {
			if was := fences[i]; is.Term < was.Term || is.Term == was.Term && (is.Holder != was.Holder || is.Write <= was.Write) {
				return fmt.Errorf("%s: %s was written after %s", zone, is, was)
			}
		}
	}
	return nil
}

// TestTermsGrowCatches: the check of the terms sees what it must.
func TestTermsGrowCatches(t *testing.T) {
	for _, bad := range [][]providers.Fence{
		{{Term: 2, Holder: "a", Write: 1}, {Term: 1, Holder: "b", Write: 2}},
		{{Term: 2, Holder: "a", Write: 1}, {Term: 2, Holder: "b", Write: 2}},
		{{Term: 2, Holder: "a", Write: 2}, {Term: 2, Holder: "a", Write: 2}},
	} {
		f := &fenceLog{by: map[string][]providers.Fence{"z": bad}}
		if err := f.onlyGrow(); err == nil {
			t.Errorf("%v passes", bad)
		}
	}
}

// TestTakeover loses the quorum for good, takes over, orders, restarts, gets
// the quorum back, whose leader is kept out, and ends the takeover: the order
// goes into the ledger, and the leader goes on. At the zones terms only grow.
// That it began is told by the host that took over, since nobody leads.
func TestTakeover(t *testing.T) {
	l, s := newWrittenLab(t)
	h := newHook(t)
	l.write("hook", hookKey)
	l.edit("owner: lab\n", `owner: lab
cluster: {vote_lease: 3s}
notifications: {receivers: {hook: {kind: webhook, url: "`+h.URL+`", secret_file: hook}}}
`)
	log := &fenceLog{by: map[string][]providers.Fence{}}
	open := l.open
	l.open = func(c *config.Config, p config.Provider, z zerolog.Logger) (providers.Provider, error) {
		inner, err := open(c, p, z)
		return watched{inner, p.Name, log}, err
	}
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber, daemon.RoleAuthority)
	l.watch()
	l.has(s.one, "example.test", "127.0.0.11")
	l.has(s.two, "app.example.test", "127.0.0.11")
	l.status("us-east", func(st api.Status) bool { return st.Leader.Name == "eu-west" && len(st.Serves[0].Serving) == 1 })
	c := l.client("us-east")
	ask := api.TakeoverRequest{By: "lea", Why: "two regions are lost"}
	_, err := c.Takeover(t.Context(), ask, false)
	wantProblem(t, err, http.StatusConflict, "there is nothing to take over")
	_, err = c.EndTakeover(t.Context(), ask)
	wantProblem(t, err, http.StatusNotFound, "no takeover lasts")
	before, err := s.one.Read("lab", "example.test")
	if err != nil {
		t.Fatal(err)
	}

	l.halt("eu-west")
	l.status("us-east", func(st api.Status) bool { return st.Leader.Name == "" && !st.Voters[1].Fresh })
	_, err = c.EndTakeover(t.Context(), ask)
	wantProblem(t, err, http.StatusConflict, "needs a quorum")
	plan, err := c.Takeover(t.Context(), ask, true)
	if err != nil || len(plan.Zones) != 3 || plan.Zones[0].Provider != "one" || plan.Zones[0].Fence != before.Fence.String() ||
		plan.Zones[0].State != api.TakenPlanned || uint64(plan.Term) <= before.Fence.Term {
		t.Fatalf("dry run: %+v, %v", plan, err)
	}
	if now, err := s.one.Read("lab", "example.test"); err != nil || now.Fence != before.Fence {
		t.Fatalf("a dry run wrote %s (%v)", now.Fence, err)
	}
	force := api.OrderRequest{Act: steering.Force, By: "lea", Why: "eu-west is lost", Target: steering.Target{Service: appName, Region: "us-east"}}
	taken, err := c.Takeover(t.Context(), ask, false)
	if err != nil || taken.Term != plan.Term || slices.ContainsFunc(taken.Zones, func(z api.TakenZone) bool { return z.State != api.Taken || z.Error != "" }) {
		t.Fatalf("takeover: %+v, %v", taken, err)
	}
	if m := h.until(t, notify.Takeover, notify.Once); m.By != "lea" || m.Why != ask.Why || m.Severity != notify.Warning ||
		!strings.HasPrefix(m.Summary, fmt.Sprintf("takeover at us-east, term %d: ", taken.Term)) {
		t.Errorf("told of the takeover: %+v", m)
	}
	if have, err := s.one.Read("lab", "example.test"); err != nil || have.Fence.Term != uint64(taken.Term) || !controller.TakenOver(have.Fence) {
		t.Fatalf("the fence is %s (%v)", have.Fence, err)
	}
	_, err = c.Order(t.Context(), api.OrderRequest{Act: steering.Drain, Why: "x", Target: steering.Target{Service: appName}}, false)
	wantProblem(t, err, http.StatusConflict, "would be left without an endpoint")
	_, err = c.Order(t.Context(), api.OrderRequest{Act: steering.FailbackAct, Why: "x", Target: steering.Target{Service: appName}}, false)
	wantProblem(t, err, http.StatusConflict, "no verdicts")
	_, err = c.EndOrder(t.Context(), force, false)
	wantProblem(t, err, http.StatusNotFound, "the takeover has no force")
	done, err := c.Order(t.Context(), force, false)
	if err != nil || !done.InForce || len(done.Moves) != 1 {
		t.Fatalf("force: %+v, %v", done, err)
	}
	l.has(s.one, "example.test", "127.0.0.12")
	l.has(s.two, "app.example.test", "127.0.0.12")
	l.wants("of this host's own server", "127.0.0.12")
	marker := func() []string {
		all, err := s.one.All("example.test")
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range all {
			if set.Name == markerName() {
				return set.Data
			}
		}
		return nil
	}
	if got := marker(); !slices.Equal(got, []string{"127.0.0.11"}) {
		t.Errorf("a service without an order is %v", got)
	}

	// It lasts over a restart, and goes on in a term of its own.
	l.halt("us-east")
	if err := s.one.Put("example.test", "lab", providers.RRSet{Name: appName, Type: "A", TTL: 5, Data: []string{"127.0.0.13"}}); err != nil {
		t.Fatal(err)
	}
	l.start("us-east", daemon.RoleProber, daemon.RoleAuthority)
	l.has(s.one, "example.test", "127.0.0.12")
	l.wants("of this host's own server after a restart", "127.0.0.12")
	st := l.status("us-east", func(st api.Status) bool {
		return st.Apart != nil && st.Apart.Takeover != nil && st.Apart.Takeover.Term == taken.Term+1 &&
			!slices.ContainsFunc(st.Apart.Takeover.Zones, func(z api.TakenZone) bool { return z.State != api.Taken })
	})
	if text := strings.Join(st.Warnings, "\n"); !strings.Contains(text, "lea has taken over (two regions are lost): term") || !strings.Contains(text, "takeover: force of app.example.test/us-east by lea") {
		t.Errorf("the warnings are\n%s", text)
	}

	// The quorum is back, on the other side of whatever parted them.
	server := l.server
	l.start("eu-west")
	l.server = server
	st = l.status("eu-west", func(st api.Status) bool {
		return len(st.Zones) == 3 && !slices.ContainsFunc(st.Zones, func(z controller.ZoneState) bool { return z.State != controller.ZoneRefused })
	})
	if !strings.Contains(st.Zones[0].Error, "until veer takeover --end") {
		t.Errorf("the leader says %q", st.Zones[0].Error)
	}
	for st.Leader.Term <= taken.Term+1 { // leaders come and go, and terms beyond the takeover's
		l.halt("eu-west")
		l.start("eu-west")
		l.server = server
		was := st.Leader.Term
		st = l.status("eu-west", func(st api.Status) bool { return st.Leader.Itself && st.Leader.Term > was })
	}
	st = l.status("eu-west", func(st api.Status) bool {
		return len(st.Zones) == 3 && !slices.ContainsFunc(st.Zones, func(z controller.ZoneState) bool { return z.State != controller.ZoneRefused })
	})
	l.has(s.one, "example.test", "127.0.0.12")
	_, err = c.Takeover(t.Context(), ask, false)
	if err == nil {
		t.Error("a takeover is taken while a quorum answers")
	}

	l.status("us-east", func(st api.Status) bool { return st.Leader.Name == "eu-west" })
	ended, err := c.EndTakeover(t.Context(), api.TakeoverRequest{By: "max", Why: "all is well"})
	if err != nil || len(ended.Orders) != 1 || ended.Orders[0].By != "lea" || !ended.InForce {
		t.Fatalf("the end: %+v, %v", ended, err)
	}
	st = l.status("eu-west", func(st api.Status) bool {
		return len(st.Zones) == 3 && !slices.ContainsFunc(st.Zones, func(z controller.ZoneState) bool { return z.State != controller.ZoneOK })
	})
	if len(st.Orders) != 1 || st.Orders[0].Act != steering.Force || st.Leader.Term <= ended.Term {
		t.Errorf("the ledger has the orders %+v, and term %d; the takeover had %d", st.Orders, st.Leader.Term, ended.Term)
	}
	l.status("us-east", func(st api.Status) bool { return st.Apart == nil })
	l.has(s.one, "example.test", "127.0.0.12")
	l.wants("of the ledger", "127.0.0.12")
	force.Why = "eu-west is back"
	if done, err := c.EndOrder(t.Context(), force, false); err != nil || !done.InForce {
		t.Fatalf("ending the order in the ledger: %+v, %v", done, err)
	}
	l.has(s.one, "example.test", "127.0.0.11")
	notes, err := c.Notes(t.Context(), 0)
	if err != nil || !slices.ContainsFunc(notes, func(n api.Note) bool { return strings.HasPrefix(n.Act, "takeover of term") && n.By == "max" }) {
		t.Errorf("notes %+v, %v", notes, err)
	}
	if err := log.onlyGrow(); err != nil {
		t.Error(err)
	}
	if len(log.by) != 3 || len(log.by["one example.test."]) < 6 {
		t.Errorf("%d zones, %v", len(log.by), log.by["one example.test."])
	}
}

// TestTakeoverFromTheZonesAlone takes over on a host that serves no DNS and was
// started when there was no quorum any more: the last answers are the zones'.
// Then that host is lost, and another one ends the takeover by the fences.
func TestTakeoverFromTheZonesAlone(t *testing.T) {
	l, s := newWrittenLab(t)
	l.edit("owner: lab\n", "owner: lab\ncluster: {vote_lease: 3s}\n")
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.watch()
	l.has(s.one, "example.test", "127.0.0.11")
	l.has(s.two, "app.example.test", "127.0.0.11")
	l.halt("eu-west")
	l.halt("us-east")
	l.start("us-east", daemon.RoleProber)

	c := l.client("us-east")
	_, err := c.Order(t.Context(), localDrain(steering.Target{Region: "eu-west"}), false)
	wantProblem(t, err, http.StatusConflict, "serves no DNS")
	s.lost.Store(true) // the first provider does not answer: the others are taken
	taken, err := c.Takeover(t.Context(), api.TakeoverRequest{By: "lea", Why: "all is lost"}, false)
	if err != nil || len(taken.Zones) != 3 || taken.Zones[0].State != api.TakenLost || taken.Zones[1].State != api.Taken || taken.Zones[2].State != api.Taken {
		t.Fatalf("takeover: %+v, %v", taken, err)
	}
	drained := api.OrderRequest{Act: steering.Drain, Why: "lost", Target: steering.Target{Service: appName, Region: "eu-west"}}
	done, err := c.Order(t.Context(), drained, false)
	if err != nil || done.InForce || !strings.Contains(done.Note, "example.test at one: does not answer") {
		t.Fatalf("drain: %+v, %v", done, err)
	}
	l.has(s.two, "app.example.test", "127.0.0.12")
	s.lost.Store(false)
	l.status("us-east", func(st api.Status) bool { // it is tried again
		return !slices.ContainsFunc(st.Apart.Takeover.Zones, func(z api.TakenZone) bool { return z.State != api.Taken })
	})
	l.has(s.one, "example.test", "127.0.0.12")

	l.halt("us-east")
	if err := os.RemoveAll(filepath.Join(l.dir, "us-east")); err != nil {
		t.Fatal(err)
	}
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber) // a new host: without votes nothing moves
	l.status("eu-west", func(st api.Status) bool { return st.Voters[1].Votes == 3 })
	l.status("eu-west", func(st api.Status) bool { return zone(st, "one", "example.test.").State == controller.ZoneRefused })
	ended, err := l.client("eu-west").EndTakeover(t.Context(), api.TakeoverRequest{By: "max", Why: "us-east is gone for good"})
	if err != nil || ended.Term != taken.Term || len(ended.Orders) != 0 {
		t.Fatalf("the end elsewhere: %+v, %v", ended, err)
	}
	l.status("eu-west", func(st api.Status) bool {
		return zone(st, "one", "example.test.").State == controller.ZoneOK && zone(st, "two", "app.example.test.").State == controller.ZoneOK
	})
	l.has(s.one, "example.test", "127.0.0.11")
	l.has(s.two, "app.example.test", "127.0.0.11")
}

// TestTheEndOfATakeoverIsFinished: the process died between the beginning of
// the end and its end. It writes nothing by the takeover any more, and the end
// is given again.
func TestTheEndOfATakeoverIsFinished(t *testing.T) {
	l, s := newWrittenLab(t)
	l.write("veer.yaml", string(oneVantage(t, l)))
	fence := providers.Fence{Owner: "lab", Term: 5, Holder: "takeover-eu-west-1", Write: 9}
	for store, zones := range map[*memory.Store][]string{s.one: {"example.test"}, s.two: {"example.test", "app.example.test"}} {
		for _, z := range zones {
			if err := store.PutFence(z, fence); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(l.dir, "eu-west"), 0o700); err != nil {
		t.Fatal(err)
	}
	l.write("eu-west/takeover.json", `{"version":1,"takeover":{"term":5,"holder":"takeover-eu-west-1","by":"lea","why":"lost","zones":[
		{"provider":"one","zone":"example.test.","state":"taken"},{"provider":"two","zone":"example.test.","state":"taken"},{"provider":"two","zone":"app.example.test.","state":"taken"}],
		"orders":null,"ending":true},"base":[{"name":"app.example.test.","type":"A","ttl":5,"data":["127.0.0.11"],"min_ttl":1}],"touched":["app.example.test."],
		"orders":[{"id":"1","act":"force","target":{"service":"app.example.test.","region":"us-east"},"by":"lea","why":"eu-west is lost"},
		{"id":"2","act":"drain","target":{"region":"ap-south"},"by":"lea","why":"over","until":"2020-01-01T00:00:00Z"}]}`)
	l.start("eu-west")
	l.watch()
	c := l.client("eu-west")
	st := l.status("eu-west", func(st api.Status) bool {
		return zone(st, "one", "example.test.").State == controller.ZoneRefused
	})
	if text := strings.Join(st.Warnings, "\n"); !strings.Contains(text, "veer takeover --end finishes it") {
		t.Errorf("the warnings are\n%s", text)
	}
	_, err := c.Order(t.Context(), api.OrderRequest{Act: steering.Freeze, Why: "x", Target: steering.Target{Service: appName}}, false)
	wantProblem(t, err, http.StatusConflict, "veer takeover --end finishes it")
	if have, err := s.one.Read("lab", "example.test"); err != nil || have.Fence != fence {
		t.Errorf("a takeover whose end was begun has written %s (%v)", have.Fence, err)
	}
	for range 2 { // the second finds the end done
		ended, err := c.EndTakeover(t.Context(), api.TakeoverRequest{By: "lea", Why: "again"})
		if err == nil && (ended.Term != 5 || len(ended.Orders) != 1 || !ended.InForce) {
			t.Errorf("the end: %+v", ended)
		}
		if err != nil {
			wantProblem(t, err, http.StatusNotFound, "no takeover lasts")
		}
		l.has(s.one, "example.test", "127.0.0.12")
		l.status("eu-west", func(st api.Status) bool {
			return st.Apart == nil && len(st.Orders) == 1 && st.Leader.Term > 5 && !slices.ContainsFunc(st.Zones, func(z controller.ZoneState) bool { return z.State != controller.ZoneOK })
		})
	}
	if _, err := os.Stat(filepath.Join(l.dir, "eu-west", "takeover.json")); !os.IsNotExist(err) {
		t.Errorf("the file of the takeover is still there: %v", err)
	}
}
