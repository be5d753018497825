package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// cutAfter drives an isolation through a life in which no quorum answers from
// the start, with the process stopped for a while, and tells how long it ran
// until it counted as cut off.
func cutAfter(tick func(now, proven time.Time) bool, stopped time.Duration) time.Duration {
	start := time.Now()
	now, ran := start, time.Duration(0)
	for !tick(now, start) {
		step := time.Second
		if ran == 5*time.Second {
			now = now.Add(stopped) // SIGSTOP, or a machine that was asleep
		}
		now, ran = now.Add(step), ran+step
	}
	return ran
}

func TestIsolationCounts(t *testing.T) {
	for _, stopped := range []time.Duration{0, time.Minute, 24 * time.Hour} {
		i := isolation{after: 10 * time.Second}
		if got := cutAfter(i.tick, stopped); got < 9*time.Second || got > 11*time.Second {
			t.Errorf("stopped for %s, it counts as cut off after running %s, want 10s", stopped, got)
		}
	}
	// A twin that takes the clock's word is caught.
	naive := func(now, proven time.Time) bool { return now.Sub(proven) >= 10*time.Second }
	if got := cutAfter(naive, time.Minute); got >= 9*time.Second {
		t.Fatalf("the check proves nothing: a process that stood still counts after running %s", got)
	}
	i, start := isolation{after: 10 * time.Second}, time.Now()
	for n := range 30 {
		now := start.Add(time.Duration(n) * time.Second)
		if i.tick(now, now.Add(-3*time.Second)) { // proofs come, late
			t.Fatalf("after %d s with proofs it counts as cut off", n)
		}
	}
	for n := 30; !i.tick(start.Add(time.Duration(n)*time.Second), start.Add(26*time.Second)); n++ {
		if n > 45 {
			t.Fatal("it never counts as cut off")
		}
	}
	i.hear()
	if i.tick(i.last.Add(time.Second), start.Add(26*time.Second)) {
		t.Error("heard again, it counts as cut off still")
	}
}

func someOrder() controller.Order {
	return controller.Order{Until: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Override: steering.Override{
		ID: "1", Act: steering.Drain, Target: steering.Target{Region: "eu-west"}, By: "lea", Why: "it burns"}}
}

func TestKeptFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), localName)
	if _, found, err := readKept[localOrders](path); found || err != nil {
		t.Errorf("none: %v, %v", found, err)
	}
	want := localOrders{Version: 1, Orders: []controller.Order{someOrder()}}
	if err := keepFile(path, want); err != nil {
		t.Fatal(err)
	}
	if got, found, err := readKept[localOrders](path); !found || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, %v", got, found, err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, found, err := readKept[localOrders](path); found || !errors.Is(err, errNotKept) {
			t.Fatalf("cut at %d: %v, %v", n, found, err)
		}
		if _, err := os.Stat(path + ".bad"); err != nil {
			t.Fatalf("cut at %d, it is not kept aside: %v", n, err)
		}
	}
	for _, bad := range []string{`{"version":2}`, `{"version":1,"orders":[{}]}`, `{"version":1,"extra":1}`, `{"version":1} {}`,
		strings.Replace(string(whole), `"drain"`, `"force"`, 1), strings.Replace(string(whole), `"it burns"`, `""`, 1)} {
		if _, err := parseKept[localOrders]([]byte(bad)); !errors.Is(err, errNotKept) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := keepFile(path, localOrders{}); err == nil {
		t.Error("what cannot be read again is kept")
	}
	if err := dropFile(path); err != nil {
		t.Error(err)
	}
	if err := dropFile(path); err != nil {
		t.Errorf("again: %v", err)
	}
}

// FuzzKept: whatever the files hold, they are read or refused; what is read is
// kept and read again as it was.
func FuzzKept(f *testing.F) {
	local, err := json.Marshal(localOrders{Version: 1, Orders: []controller.Order{someOrder()}})
	if err != nil {
		f.Fatal(err)
	}
	order := someOrder()
	order.Act = steering.Force
	lasting, err := json.Marshal(takeoverFile{Version: 1, Orders: []controller.Order{order}, Touched: []string{"app.example.test."},
		Told: api.Takeover{Term: 7, Holder: "takeover-eu-1", By: "lea", Why: "x", Zones: []api.TakenZone{{Provider: "p", Zone: "example.test.", State: api.Taken}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(local)
	f.Add(lasting)
	f.Add([]byte(`{"version":1,"takeover":{"term":4611686018427387904,"holder":"x"}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		again(t, content, func(l localOrders) bool { return len(l.Orders) <= maxOrdersHere })
		again(t, content, func(l takeoverFile) bool { return l.Told.Term > 0 && l.Told.Term < fenceBeyond })
	})
}

func again[T kept](t *testing.T, content []byte, ok func(T) bool) {
	t.Helper()
	v, err := parseKept[T](content)
	if err != nil {
		return
	}
	if !ok(v) {
		t.Fatalf("read %+v", v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKept[T](text); err != nil {
		t.Fatalf("what was read is not read again: %v\n%s", err, text)
	}
}
