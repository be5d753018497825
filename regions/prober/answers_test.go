package prober

import (
	"context"
	"time"

	"github.com/veerdns/veer/checks"
)

// deaf does not heed its context: it answers once released, as a failure.
func deaf(release <-chan struct{}) func(context.Context, int) checks.Result {
	return func(context.Context, int) checks.Result {
		<-release
		return checks.Result{Health: down, Reason: "far too late"}
	}
}

// slowly is up after d, down when the context ends before.
func slowly(d time.Duration) func(context.Context, int) checks.Result {
	return func(ctx context.Context, _ int) checks.Result {
		if !wait(ctx, d) {
			return checks.Result{Health: down, Reason: "timed out"}
		}
		return checks.Result{Health: up, Latency: d, Reason: "fine"}
	}
}

// script answers the nth probe with the nth health, and the last from then on.
func script(healths ...checks.Health) func(context.Context, int) checks.Result {
	return func(_ context.Context, n int) checks.Result {
		h := healths[min(n, len(healths)-1)]
		return checks.Result{Health: h, Reason: h.String()}
	}
}
