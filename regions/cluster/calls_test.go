package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions/steering"
)

// listener is an Ear that keeps what it hears.
type listener struct {
	mu    sync.Mutex
	calls []Call
	hooks []string
	heard chan struct{}
}

func newListener() *listener { return &listener{heard: make(chan struct{}, 1)} }

func (l *listener) Calls(c []Call) { l.note(func() { l.calls = append(l.calls, c...) }) }

func (l *listener) Hook(name string, n uint64, said []Statement, listed bool) {
	l.note(func() {
		text := fmt.Sprintf("%s %d listed=%v", name, n, listed)
		for _, s := range said {
			text += fmt.Sprintf(" %s=%s@%d", s.Key, s.Health, s.N)
		}
		l.hooks = append(l.hooks, text)
	})
}

func (l *listener) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	select {
	case l.heard <- struct{}{}:
	default:
	}
}

func (l *listener) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		is := ok()
		l.mu.Unlock()
		if is {
			return
		}
		select {
		case <-l.heard:
		case <-late:
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("%s was not heard: %v %q", what, l.calls, l.hooks)
		}
	}
}

func target() steering.Target { return steering.Target{Service: "a.example.", Address: "192.0.2.1"} }

// TestMessagesCountOnce: of what a hook says each message counts once, none that
// is older than the last, and a new secret begins anew.
func TestMessagesCountOnce(t *testing.T) {
	var s spoken
	for _, c := range []struct {
		m    Message
		want error
		said string
	}{
		{Message{ID: "a", Number: 10, Secret: "s", Said: []Statement{{Key: "1", Target: target(), Health: checks.Down}}}, nil, "1=down@1"},
		{Message{ID: "a", Number: 10, Secret: "s"}, ErrReplayed, "1=down@1"},
		{Message{ID: "b", Number: 10, Secret: "s", Said: []Statement{{Key: "2", Target: target(), Health: checks.Up}}}, nil, "1=down@1 2=up@2"},
		{Message{ID: "c", Number: 9, Secret: "s"}, ErrReplayed, "1=down@1 2=up@2"},
		{Message{ID: "a", Number: 11, Secret: "s"}, nil, "1=down@1 2=up@2"},
		{Message{ID: "b", Number: 10, Secret: "s"}, ErrReplayed, "1=down@1 2=up@2"},
		{Message{ID: "a", Number: 3, Secret: "new"}, nil, "1=down@1 2=up@2"},
		{Message{Said: []Statement{{Key: "1"}, {Key: "2", Target: target(), Health: checks.Up}}}, nil, "2=up@5"},
		{Message{Drop: map[string]uint64{"2": 4}}, nil, "2=up@5"}, // it was said again since
		{Message{Drop: map[string]uint64{"2": 5}}, nil, ""},
		{Message{Said: []Statement{{Key: "1", Health: checks.Up}}}, errBad, ""},
	} {
		next, err := s.take(c.m)
		if c.want == errBad && err != nil {
			continue
		}
		if !errors.Is(err, c.want) {
			t.Fatalf("%+v: %v, expected %v", c.m, err, c.want)
		}
		if err == nil {
			s = next
		}
		var said []string
		for _, one := range s.Said {
			said = append(said, fmt.Sprintf("%s=%s@%d", one.Key, one.Health, one.N))
		}
		if text := strings.Join(said, " "); text != c.said {
			t.Errorf("after %+v: %q, expected %q", c.m, text, c.said)
		}
	}
	for i := range maxIDs {
		s, _ = s.take(Message{ID: fmt.Sprint("x", i), Number: 20, Secret: "new"})
	}
	if _, err := s.take(Message{ID: "y", Number: 20, Secret: "new"}); !errors.Is(err, ErrHookFull) {
		t.Errorf("more messages of one number than are remembered: %v", err)
	}
}

var errBad = errors.New("bad")

// beside starts another process on the etcd of the first.
func beside(t *testing.T, a *alone, o Options) *Cluster {
	t.Helper()
	o.Owner, o.Log = a.opts.Owner, a.opts.Log
	c, err := Start(a.ctx, Config{Endpoints: []string{"unix://" + a.Socket()}}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestCallsAreHeard: each process hears what is called in at any, and once it has
// started what a hook said before.
func TestCallsAreHeard(t *testing.T) {
	ears := []*listener{newListener(), newListener(), newListener()}
	a := startAlone(t, Options{Ear: ears[0]})
	b := beside(t, a, Options{Name: "b", Ear: ears[1]})
	if err := a.Tell(t.Context(), "ops", Message{Said: []Statement{{Key: "1", Target: target(), Health: checks.Down}}}); err != nil {
		t.Fatal(err)
	}
	for _, l := range ears[:2] {
		l.until(t, "the hook", func() bool {
			return slices.ContainsFunc(l.hooks, func(h string) bool { return strings.HasSuffix(h, " 1=down@1") })
		})
	}
	for range 2 { // the same call-in is another event each time
		if err := b.Spread(t.Context(), []Call{{Endpoint: "beat@192.0.2.1", Health: checks.Up}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range ears[:2] {
		l.until(t, "two call-ins", func() bool { return len(l.calls) == 2 })
	}
	beside(t, a, Options{Name: "c", Ear: ears[2]})
	ears[2].until(t, "what the hook said", func() bool { return slices.Equal(ears[2].hooks, []string{"ops 1 listed=true 1=down@1"}) })
	if len(ears[2].calls) > 0 {
		t.Errorf("call-ins of before are heard as new: %v", ears[2].calls)
	}
	asOf, since, lease := a.Hearing()
	if asOf.IsZero() || since.IsZero() || time.Since(asOf) > time.Minute || lease <= 0 {
		t.Errorf("hearing: %v %v %v", asOf, since, lease)
	}
	for _, bad := range [][]Call{{{}}, {{Endpoint: "x"}}, {{Endpoint: "x", Health: checks.Up, Why: strings.Repeat("x", maxWhy+1)}}} {
		if err := a.Spread(t.Context(), bad); err == nil {
			t.Errorf("%v was told", bad)
		}
	}
}

// FuzzCalls holds that what is heard is as it may be.
func FuzzCalls(f *testing.F) {
	seed(f, calls{[]Call{{"beat@192.0.2.1", checks.Degraded, "x"}}}, spoken{N: 3, Said: []Statement{{"1", target(), checks.Down, "x", 2}}, Number: 5, IDs: []string{"a"}, Secret: "s"})
	f.Fuzz(func(t *testing.T, raw []byte) {
		roundTrip[calls](t, raw)
		roundTrip[spoken](t, raw)
	})
}
