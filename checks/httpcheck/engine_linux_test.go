package httpcheck_test

import (
	"context"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/httpcheck"
)

// engineOf starts an engine that works until the test ends.
func engineOf(t testing.TB) *httpcheck.Engine {
	t.Helper()
	e := httpcheck.NewEngine()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

// engined is a Prober whose probes run on an engine, each of them: it fails
// the test where the engine takes none.
type engined struct {
	t      testing.TB
	p      *httpcheck.Prober
	e      *httpcheck.Engine
	starts map[checks.Target]*httpcheck.Starter
}

func (e *engined) Probe(ctx context.Context, target checks.Target) checks.Result {
	s := e.starts[target]
	if s == nil {
		if s = e.e.Starter(e.p, target); s == nil {
			e.t.Fatalf("the engine takes no probe of %+v", target)
		}
		e.starts[target] = s
	}
	deadline, _ := ctx.Deadline()
	landed := make(chan checks.Result, 1)
	if !s.Start(time.Until(deadline), func(r checks.Result, _ time.Duration) { landed <- r }) {
		return e.p.Probe(ctx, target) // as the loop does
	}
	return <-landed
}

// onEngine is how paths makes a prober on an engine.
var onEngine maker = func(t *testing.T, c httpcheck.Config) checks.Prober {
	return &engined{t: t, p: prober(t, c), e: engineOf(t), starts: map[checks.Target]*httpcheck.Starter{}}
}
