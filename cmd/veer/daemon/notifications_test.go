package daemon_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/regions/steering"
)

// hook is a receiver that takes everything.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	got  []notify.Message
	news chan struct{}
}

func newHook(t *testing.T) *hook {
	h := &hook{news: make(chan struct{}, 1)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Data notify.Message }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Data.ID != r.Header.Get("webhook-id") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		h.got = append(h.got, body.Data)
		h.mu.Unlock()
		select {
		case h.news <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// of are the messages of an event so far.
func (h *hook) of(e notify.Event) []notify.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.got), func(m notify.Message) bool { return m.Event != e })
}

// until waits for a message.
func (h *hook) until(t *testing.T, e notify.Event, p notify.Phase) notify.Message {
	t.Helper()
	return h.first(t, e, func(m notify.Message) bool { return m.Phase == p })
}

func (h *hook) first(t *testing.T, e notify.Event, ok func(notify.Message) bool) notify.Message {
	t.Helper()
	late := time.After(patience)
	for {
		if all := h.of(e); slices.ContainsFunc(all, ok) {
			return all[slices.IndexFunc(all, ok)]
		}
		select {
		case <-h.news:
		case <-late:
			t.Fatalf("no such message %s came: %+v", e, h.of(e))
		}
	}
}

const hookKey = "whsec_Y2FuYXJ5LWE3ZjMtbm90aWZ5LXRlc3Qta2V5LTEyMzQ="

// TestARegionsLossIsOneMessage: a region with the endpoints of 32 services is
// lost. One message says so, and, although the leader was another process
// meanwhile, one that it is over, with what was measured. An order says who and
// why. The journal that was written out beside is as it was written.
func TestARegionsLossIsOneMessage(t *testing.T) {
	h := newHook(t)
	l := newLab(t)
	l.write("key", hookKey)
	var services strings.Builder
	for i := range 30 {
		fmt.Fprintf(&services, `  - name: s%02d.example.test
    monitor: web
    pools: [{region: eu-west, endpoints: [127.0.0.11]}, {region: us-east, endpoints: [127.0.0.12]}]
    ttl: {min: 1s, max: 5s}
    rto: 60s
    failback: {mode: auto, hold: 1s}
    damping: off
`, i)
	}
	l.edit("owner: lab", `owner: lab
notifications: {group: 2s, receivers: {hook: {kind: webhook, url: "`+h.URL+`", secret_file: key}}}
journal: {file: {path: "out/{region}.jsonl"}}
velocity: off`, "services:\n", "services:\n"+services.String(),
		"us-east, endpoints: [127.0.0.12]}\n    ttl: {min: 1s, max: 5s}\n", "us-east, endpoints: [127.0.0.12]}\n    failback: {mode: auto, hold: 1s}\n    ttl: {min: 1s, max: 5s}\n")
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.start("ap-south", daemon.RoleProber)
	l.answers("127.0.0.11")
	l.status("eu-west", func(st api.Status) bool { // all vantages vote, so that each service stands on their votes
		return !slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return v.Votes != 3 || v.Down != 0 })
	})

	l.down("127.0.0.11")
	begin := h.until(t, notify.Moved, notify.Begin)
	if begin.Region != "eu-west" || begin.Count != 32 || begin.Times.Recovery <= 0 || begin.Times.Limit != 60*time.Second || begin.Times.Began.IsZero() {
		t.Errorf("the loss: %s, %+v", begin.Text(), begin.Times)
	}
	l.halt("eu-west")
	l.start("eu-west")
	l.up("127.0.0.11")
	end := h.until(t, notify.Moved, notify.End)
	if end.Key != begin.Key || end.Count != 32 || end.Times.Back.IsZero() || end.Times.Recovery != begin.Times.Recovery || end.Times.Lasted <= 0 {
		t.Errorf("the end: %s, %+v", end.Text(), end.Times)
	}
	all := map[string]notify.Message{} // by ID: what was sent may come again after a restart
	for _, m := range h.of(notify.Moved) {
		all[m.ID] = m
	}
	if len(all) != 2 {
		for _, m := range all {
			t.Errorf("told: %s %s %s", m.ID, m.Phase, m.Summary)
		}
	}
	if _, err := l.client("eu-west").Order(t.Context(), api.OrderRequest{Act: steering.Freeze, Why: "a game day", By: "alice", For: time.Hour, Target: steering.Target{Service: appName}}, false); err != nil {
		t.Fatal(err)
	}
	if m := h.until(t, notify.Override, notify.Once); m.By != "alice" || m.Why != "a game day" || m.Summary != "alice ordered: freeze of app.example.test for 1h0m0s" {
		t.Errorf("the order: %+v", m)
	}
	l.halt("eu-west") // it tells the ledger the head before it ends
	l.start("eu-west")
	l.written(t, filepath.Join(l.dir, "out", "eu-west.jsonl"))
}

// written verifies a file of the journal with the ledger's heads, as they are.
func (l *lab) written(t *testing.T, path string) {
	t.Helper()
	heads, err := l.client("eu-west").Exports(t.Context())
	if err != nil || len(heads) != 1 || heads[0].Region != "eu-west" || heads[0].Output != "file" {
		t.Fatalf("heads %+v, %v", heads, err)
	}
	v, err := daemon.VerifyJournal([]string{path}, heads, false)
	if err != nil || v.Finding != nil || !v.Proven || len(v.Chains) != 1 || v.Lines < 5 || v.Chains[0].Gaps > 0 {
		t.Errorf("the journal: %+v, %v, %v", v, v.Finding, err)
	}
}

// TestReloadOfReceivers: one that comes, one that moves and one that goes are
// told from then on as the new config says; one that stays misses nothing, and
// hears nothing twice.
func TestReloadOfReceivers(t *testing.T) {
	stays, goes, before, after, comes := newHook(t), newHook(t), newHook(t), newHook(t), newHook(t)
	l := newLab(t)
	l.write("key", hookKey)
	base := l.read("veer.yaml")
	receivers := func(all ...string) {
		l.write("veer.yaml", base+"notifications: {group: 0s, receivers: {"+strings.Join(all, ", ")+"}}\n")
	}
	to := func(name string, h *hook) string {
		return name + `: {kind: webhook, url: "` + h.URL + `", secret_file: key}`
	}
	order := func(why string) {
		t.Helper()
		if _, err := l.client("eu-west").Order(t.Context(), api.OrderRequest{Act: steering.Freeze, Why: why, For: time.Hour, Target: steering.Target{Service: appName}}, false); err != nil {
			t.Fatal(err)
		}
	}
	hears := func(h *hook, why string) {
		t.Helper()
		h.first(t, notify.Override, func(m notify.Message) bool { return m.Why == why })
	}
	receivers(to("stays", stays), to("goes", goes), to("moves", before))
	l.start("eu-west")
	l.watch()
	l.status("eu-west", func(api.Status) bool { // what happened before is not news
		raw, _, err := l.observer.Slip(t.Context(), "notifications")
		return err == nil && raw != nil
	})
	order("early")
	for _, h := range []*hook{stays, goes, before} {
		hears(h, "early")
	}
	receivers(to("stays", stays), to("moves", after), to("comes", comes))
	l.reloads("eu-west", api.ReloadChanged)
	for _, why := range []string{"first", "second"} { // what comes after a message shows that it came once
		order(why)
		for _, h := range []*hook{stays, after, comes} {
			hears(h, why)
		}
	}
	for name, c := range map[string]struct {
		h    *hook
		want string
	}{
		"stays": {stays, "[early first second]"}, "moves": {after, "[first second]"}, "comes": {comes, "[first second]"},
		"goes": {goes, "[early]"}, "moves, at its former address": {before, "[early]"},
	} {
		var got []string
		for _, m := range c.h.of(notify.Override) {
			got = append(got, m.Why)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s was told of the orders %v, want %s", name, got, c.want)
		}
	}
}
