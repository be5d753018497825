package route53

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/veerdns/veer/providers"
)

// longWait is from when on a wait for a token is told.
const longWait = time.Second

// errBucket is what a BusyError says whose request was not sent.
var errBucket = errors.New("the account's rate limit, as the config has it, leaves no room in time; nothing was sent")

// buckets bound the requests to the API as it does itself: a request takes a
// token of the account's bucket and one of its action's
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/throttling-api-requests.html).
type buckets struct {
	all *rate.Limiter
	of  map[string]*rate.Limiter
	log zerolog.Logger
}

func newBuckets(c Config, log zerolog.Logger) *buckets {
	limiter := func(action string) *rate.Limiter {
		b := c.bucket(action)
		return rate.NewLimiter(rate.Limit(b.Rate), b.Burst)
	}
	b := &buckets{all: limiter(""), of: make(map[string]*rate.Limiter), log: log}
	for _, action := range actions() {
		b.of[action] = limiter(action)
	}
	return b
}

// wait takes the tokens for one request, and waits for them. It does not wait
// for what the context's end would overtake.
func (b *buckets) wait(ctx context.Context, action string) error {
	now := time.Now()
	taken := []*rate.Reservation{b.all.ReserveN(now, 1)}
	if one := b.of[action]; one != nil {
		taken = append(taken, one.ReserveN(now, 1))
	}
	var delay time.Duration
	for _, r := range taken {
		delay = max(delay, r.DelayFrom(now))
	}
	giveBack := func() {
		for _, r := range taken {
			r.CancelAt(now)
		}
	}
	if end, ok := ctx.Deadline(); ok && now.Add(delay).After(end) {
		giveBack()
		return &providers.BusyError{After: delay, Err: errBucket}
	}
	if delay == 0 {
		return nil
	}
	if delay >= longWait {
		b.log.Info().Str("action", action).Dur("wait_ms", delay).Msg("waiting for Route 53's rate limit")
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		giveBack()
		return ctx.Err()
	}
}
