package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
)

// TestLimiter: whenever requests come, no window ever has more than the limit,
// and none waits longer than it must.
func TestLimiter(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(r, "limit")
		gaps := rapid.SliceOfN(rapid.IntRange(0, 120), 1, 30).Draw(r, "gaps")
		wrong := ""
		synctest.Test(t, func(t *testing.T) {
			fail := func(format string, args ...any) {
				if wrong == "" {
					wrong = fmt.Sprintf(format, args...)
				}
			}
			l := newLimiter(limit)
			var went []time.Time
			for _, gap := range gaps {
				time.Sleep(time.Duration(gap) * time.Second)
				asked := time.Now()
				if err := l.take(context.Background()); err != nil {
					fail("%v", err)
				}
				now := time.Now()
				went = append(went, now)
				if n := len(went) - 1 - limit; n >= 0 {
					earliest := went[n].Add(window)
					if now.Before(earliest) {
						fail("request %d went %s after the one %d before it", len(went), now.Sub(went[n]), limit)
					}
					if now.After(asked) && now.After(earliest) {
						fail("request %d waited %s longer than it must", len(went), now.Sub(earliest))
					}
				} else if now.After(asked) {
					fail("request %d of %d waited", len(went), limit)
				}
			}
		})
		if wrong != "" {
			r.Fatal(wrong)
		}
	})
}

// TestLimiterShared: many ask at once, and the limit holds for all together.
func TestLimiterShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(10)
		begun := time.Now()
		var all sync.WaitGroup
		for range 35 {
			all.Go(func() {
				if err := l.take(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begun); took != 3*window {
			t.Errorf("35 requests took %s, want %s", took, 3*window)
		}
	})
}

// TestLimiterEnds: a context that ends first makes it say so at once, with the
// time to wait; one that is ended counts for nothing.
func TestLimiterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		ended, end := context.WithCancel(t.Context())
		end()
		if err := l.take(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
		if err := l.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		var busy *providers.BusyError
		if err := l.take(soon); !errors.As(err, &busy) || busy.After != window {
			t.Errorf("with a minute left: %v, want to be asked to wait %s", err, window)
		}
		if time.Since(begun) != 0 {
			t.Errorf("it took %s to say so", time.Since(begun))
		}
		l.pause(time.Hour)
		go func() { time.Sleep(time.Second); end() }()
		later, stop := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); stop() }()
		if err := l.take(later); !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("a context that is cancelled: %v after %s", err, time.Since(begun))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := time.Now().Add(90 * time.Second).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
		for text, want := range map[string]time.Duration{
			"": quiet, "soon": quiet, "0": time.Second, "-5": quiet, "30": 30 * time.Second,
			"999999999999": maxQuiet, "99999999999999999999999": quiet, in: 90 * time.Second,
		} {
			if got := retryAfter(text); got != want {
				t.Errorf("%q is read as %s, want %s", text, got, want)
			}
		}
	})
}
