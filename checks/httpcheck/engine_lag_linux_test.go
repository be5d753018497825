package httpcheck

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
)

// idleEngine is an engine that does nothing by itself, a line to a server that
// accepts and never answers, and where its probes' results come.
func idleEngine(t *testing.T) (*Engine, *line) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p, err := New(Config{Scheme: "http"})
	if err != nil {
		t.Fatal(err)
	}
	e := NewEngine()
	if err := e.open(); err != nil {
		t.Fatal(err)
	}
	e.ctx = t.Context()
	t.Cleanup(func() { e.shut(nil) })
	at := netip.MustParseAddrPort(l.Addr().String())
	s := e.Starter(p, checks.Target{Name: "web", Host: at.Addr().String(), Port: at.Port()})
	if s == nil {
		t.Fatal("the engine takes no probe")
	}
	return e, s.line
}

// begun begins a probe that was handed over some time ago.
func begun(e *Engine, l *line, ago, timeout time.Duration, landed *[]checks.Result) {
	e.looked = e.now()
	e.orders = append(e.orders, order{line: l, at: e.now() - ago, timeout: timeout, land: func(r checks.Result, _ time.Duration) { *landed = append(*landed, r) }})
	e.begin()
}

func TestLagIsGivenBack(t *testing.T) {
	const timeout = 2 * time.Second
	for _, c := range []struct {
		name string
		lag  time.Duration
		// at is when the engine looks, after the beginning.
		at   time.Duration
		want string // the health; "" for a probe that goes on
	}{
		{"in time", 0, timeout - time.Millisecond, ""},
		{"over", 0, timeout + 200*time.Millisecond, "down"},
		{"over, by what the engine was late", 300 * time.Millisecond, timeout + 200*time.Millisecond, ""},
		{"over beyond that", 300 * time.Millisecond, timeout + 400*time.Millisecond, "down"},
		{"the engine was too late to tell", time.Second, timeout + 600*time.Millisecond, "unknown"},
		{"no longer than the loop waits", time.Minute, timeout + 400*time.Millisecond, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, l := idleEngine(t)
			var landed []checks.Result
			begun(e, l, 0, timeout, &landed)
			if len(e.clocks) != 1 {
				t.Fatalf("%d probes under way, want 1: %+v", len(e.clocks), landed)
			}
			r := e.clocks[0]
			r.lag = c.lag
			e.expire(r.began + c.at)
			got := ""
			if len(landed) == 1 {
				got = landed[0].Health.String()
			}
			if got != c.want {
				t.Errorf("found %q, want %q: %+v", got, c.want, landed)
			}
		})
	}
}

func TestWaitedTooLongToBegin(t *testing.T) {
	const timeout = time.Second
	for ago, want := range map[time.Duration]int{timeout / 4: 0, timeout/2 + time.Millisecond: 1} {
		e, l := idleEngine(t)
		var landed []checks.Result
		begun(e, l, ago, timeout, &landed)
		if len(landed) != want || want == 1 && (landed[0].Health != checks.Unknown || !strings.Contains(landed[0].Reason, "was busy")) {
			t.Errorf("after %s: %+v, want %d results, unknown", ago, landed, want)
		}
	}
}

func TestTimely(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		took, lag, latency time.Duration
		health             checks.Health
	}{
		{300 * ms, ms, 300 * ms, checks.Up},
		{300 * ms, 200 * ms, 100 * ms, checks.Up},
		{300 * ms, 298 * ms, 5 * ms, checks.Up},
		{300 * ms, 500 * ms, 5 * ms, checks.Up},
		{2 * ms, 500 * ms, 2 * ms, checks.Up},
		{300 * ms, 501 * ms, 5 * ms, checks.Unknown},
	} {
		if got := timely(checks.Result{Health: checks.Up, Latency: c.took}, c.lag, 2*time.Second); got.Health != c.health || got.Latency != c.latency {
			t.Errorf("%s after %s, %s late: %+v, want %s after %s", checks.Up, c.took, c.lag, got, c.health, c.latency)
		}
	}
}

// TestFullLooks: a look that may have left events out shows nothing of those,
// until as many followed as show all.
func TestFullLooks(t *testing.T) {
	var f fullLooks
	const probes = 2*maxEvents + 10
	for i, c := range []struct {
		n     int
		began time.Duration
		at    time.Duration
		ok    bool
	}{
		{n: 3, began: 1, at: 1, ok: true},
		{n: maxEvents, began: 2},
		{n: -1, began: 3},
		{n: maxEvents, began: 4},
		{n: maxEvents, began: 5},
		{n: maxEvents, began: 6, at: 2, ok: true},
		{n: maxEvents, began: 7},
		{n: 0, began: 8, at: 8, ok: true},
		{n: maxEvents, began: 9},
	} {
		if at, ok := f.shown(c.n, c.began, probes); at != c.at || ok != c.ok {
			t.Errorf("look %d: %s, %v; want %s, %v", i, at, ok, c.at, c.ok)
		}
	}
}
