package daemon

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// TestCallInsAreHeldBack: what an endpoint says anew is told at once, what it
// repeats by and by, and the last of it always; what could not be told for long
// is not told as if it were new.
func TestCallInsAreHeldBack(t *testing.T) {
	const id = "beat@192.0.2.1"
	p, now := newPending(), time.Now()
	within := func(regions.EndpointID) time.Duration { return 30 * time.Second }
	for i, c := range []struct {
		after time.Duration
		says  checks.Health // Unknown: nothing
		told  string
		next  time.Duration
		fails bool
	}{
		{0, checks.Up, "up", 0, false},
		{time.Second, checks.Up, "", 2 * time.Second, false},
		{time.Second, checks.Up, "", time.Second, false},
		{time.Second, checks.Unknown, "up", 0, false},
		{time.Second, checks.Unknown, "", 0, false},
		{0, checks.Degraded, "degraded", 0, false},
		{0, checks.Up, "up", 0, true},
		{time.Second, checks.Unknown, "up", 0, true},
		{10 * time.Second, checks.Unknown, "up", 0, true},
		{3 * time.Second, checks.Unknown, "", 0, false},
		{0, checks.Up, "up", 0, false},
	} {
		now = now.Add(c.after)
		if c.says != checks.Unknown {
			if allowed, _ := p.take(cluster.Call{Endpoint: id, Health: c.says}, now); !allowed {
				t.Fatalf("step %d: not allowed", i)
			}
		}
		calls, next := p.due(now, within)
		told := ""
		for _, one := range calls {
			told += one.Health.String()
		}
		if told != c.told || next != c.next {
			t.Errorf("step %d: told %q, next in %s; expected %q and %s", i, told, next, c.told, c.next)
		}
		if len(calls) > 0 {
			var err error
			if c.fails {
				err = errors.New("etcd is away")
			}
			p.done(calls, now, err)
			if _, trouble := p.take(cluster.Call{Endpoint: "other", Health: checks.Up}, now); (trouble != nil) != c.fails {
				t.Errorf("step %d: %v", i, trouble)
			}
			delete(p.ends, "other")
		}
	}
	allowed := 0
	for range 100 {
		if ok, _ := p.take(cluster.Call{Endpoint: "many", Health: checks.Up}, now); ok {
			allowed++
		}
	}
	if allowed != beatBurst {
		t.Errorf("%d of 100 call-ins at once are taken", allowed)
	}
}

// TestGates: each hook has its own bound, which time lifts.
func TestGates(t *testing.T) {
	var g gates
	now := time.Now()
	passed := func(name string) (n int) {
		for range 100 {
			if g.pass(name, now) {
				n++
			}
		}
		return n
	}
	got := fmt.Sprint(passed("a"), passed("b"))
	now = now.Add(time.Second)
	if got = fmt.Sprint(got, " ", passed("a")); got != fmt.Sprint(hookBurst, hookBurst, " ", hookRate) {
		t.Errorf("passed %s", got)
	}
}

// TestStrangersDoNotFillTheLog: of one thing that is refused the log tells so
// often and no oftener, of another all the same; the cause is told to it alone.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		d := &daemon{o: Options{Log: zerolog.New(&log)}}
		lines := func() int {
			defer log.Reset()
			return strings.Count(log.String(), "a call was not taken")
		}
		flood := func() int {
			for range 1000 {
				d.refused(metrics.CallHook, "ops", reject(http.StatusUnauthorized, metrics.CallRefused, "no"))
			}
			return lines()
		}
		got := []int{flood()}
		d.refused(metrics.CallHook, "ops", unwritten(errors.New("etcd is away")))
		if text := log.String(); !strings.Contains(text, `"level":"error"`) || !strings.Contains(text, "etcd is away") {
			t.Errorf("the log says %s", text)
		}
		got = append(got, lines())
		time.Sleep(time.Second)
		if got = append(got, flood()); fmt.Sprint(got) != fmt.Sprint([]int{hookBurst, 1, hookRate}) {
			t.Errorf("%v lines, expected %v", got, []int{hookBurst, 1, hookRate})
		}
	})
}

// TestHooksSpeakOfTheConfigInForce: also of what a reload brings meanwhile.
func TestHooksSpeakOfTheConfigInForce(t *testing.T) {
	d := &daemon{scene: &scene{}}
	target := steering.Target{Service: "app.example.test."}
	with := steering.Policy{Services: []steering.Service{{Name: target.Service, Pools: []steering.Pool{{Region: "eu-west"}}}}}
	if d.there(target) {
		t.Error("it is there before")
	}
	var wg sync.WaitGroup
	wg.Go(func() { d.scene.replace(&config.Config{}, with) })
	d.there(target) // -race looks on
	wg.Wait()
	if !d.there(target) {
		t.Error("it is not there after")
	}
}

// TestBodies: what of a call's body is read, and how one is refused that cannot be.
func TestBodies(t *testing.T) {
	const token = "canary-token-0123456789"
	for _, c := range []struct {
		name, want string
		body       io.Reader
		code       int
	}{
		{"whole", `{"why": "by [secret]"}`, strings.NewReader(`{"why": "by ` + token + `"}`), 0},
		{"as long as may be", strings.Repeat("x", 100), strings.NewReader(strings.Repeat("x", 100)), 0},
		{"too long", "", strings.NewReader(strings.Repeat("x", 101)), http.StatusRequestEntityTooLarge},
		{"broken off", "", io.MultiReader(strings.NewReader("{"), iotest.ErrReader(io.ErrUnexpectedEOF)), http.StatusBadRequest},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", c.body)
		if body, bad := bodyOf(r, 100, token); string(body) != c.want || bad.code != c.code {
			t.Errorf("%s: %q and %d, expected %q and %d", c.name, body, bad.code, c.want, c.code)
		}
	}
}
