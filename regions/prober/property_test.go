package prober

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/regionstest"
)

// observe is checks.Track.Observe, or a broken twin of it.
type observe func(checks.Track, checks.Thresholds, checks.Result) checks.Track

// act is what one probe does: it takes a time and returns a result.
type act struct {
	takes  time.Duration
	result checks.Result
}

// play is one run: what the probes of an endpoint return, and when others
// suspect it.
type play struct {
	monitor MonitorConfig
	acts    []act
	nudges  []time.Duration // from one to the next
	engine  bool            // probes run on an engine, not on goroutines of the loop
}

func drawPlay(rt *rapid.T) play {
	threshold := rapid.IntRange(1, 4)
	p := play{monitor: MonitorConfig{
		Interval: time.Second, Timeout: 500 * time.Millisecond, Recheck: 100 * time.Millisecond,
		Fall: threshold.Draw(rt, "fall"), Rise: threshold.Draw(rt, "rise"), OK: threshold.Draw(rt, "ok"),
	}}
	if rapid.Bool().Draw(rt, "has a limit") {
		p.monitor.Slow = 100 * time.Millisecond
	}
	p.engine = rapid.Bool().Draw(rt, "engine")
	healths := rapid.SampledFrom([]checks.Health{up, up, up, down, down, degraded, unknown})
	n := rapid.IntRange(1, 40).Draw(rt, "probes")
	for i := range n {
		takes := time.Duration(rapid.IntRange(0, 450).Draw(rt, "ms"))*time.Millisecond + time.Duration(i)
		p.acts = append(p.acts, act{takes, checks.Result{
			Health: healths.Draw(rt, "health"), Latency: takes, Reason: fmt.Sprintf("probe %d", i),
		}})
	}
	for range rapid.IntRange(0, 10).Draw(rt, "nudges") {
		p.nudges = append(p.nudges, time.Duration(rapid.IntRange(1, 3000).Draw(rt, "after"))*time.Millisecond)
	}
	return p
}

// recorder is a Prober that plays, and keeps the results in order.
type recorder struct {
	mu      sync.Mutex
	acts    []act
	next    int
	results []checks.Result
	ended   chan struct{} // closed when the play is over
}

func (r *recorder) Probe(ctx context.Context, _ checks.Target) checks.Result {
	r.mu.Lock()
	i := r.next
	r.next++
	r.mu.Unlock()
	if i >= len(r.acts) {
		<-ctx.Done() // after the end nothing counts
		return checks.Result{}
	}
	wait(ctx, r.acts[i].takes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, r.acts[i].result)
	if len(r.results) == len(r.acts) {
		close(r.ended)
	}
	return r.acts[i].result
}

// perform plays p, and returns the results and the votes that were cast.
func perform(t *testing.T, p play) (results []checks.Result, votes []regions.Vote) {
	synctest.Test(t, func(t *testing.T) {
		b := &recorder{acts: p.acts, ended: make(chan struct{})}
		r := bench(t, []Job{{Endpoint: web, Monitor: p.monitor, Prober: b}}, func(o *Options) {
			if p.engine {
				onEngine(o)
			}
		}).run()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for _, after := range p.nudges {
				select {
				case <-b.ended:
					return
				case <-time.After(after):
					r.booth.suspicions <- []regions.EndpointID{web}
				}
			}
		}()
		<-b.ended
		synctest.Wait()
		for _, c := range r.booth.changes(web)[1:] { // the first is before any probe
			votes = append(votes, c.vote)
		}
		results = b.results
		<-over
		r.stop()
	})
	return results, votes
}

// follows is the property that, whatever results come and whenever others
// suspect, the votes are what track makes of the results: each change of its
// state is one vote, with the round and the reason of its result.
func follows(t *testing.T, track observe, saw func(events ...string)) regionstest.Find {
	return func(rt *rapid.T) error {
		p := drawPlay(rt)
		results, got := perform(t, p)
		var want []regions.Vote
		var state checks.Track
		events := []string{}
		if p.engine {
			events = append(events, "engine")
		}
		for i, r := range results {
			next := track(state, p.monitor.Thresholds(), r)
			if next.State != state.State {
				want = append(want, regions.Vote{Vantage: "eu-west", Endpoint: web, Health: next.State, Round: uint64(i + 1), Why: r.Reason})
				events = append(events, "voted "+next.State.String())
			}
			if next.Failures > state.Failures {
				events = append(events, "re-probe")
			}
			state = next
		}
		saw(events...)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("fall %d, rise %d, ok %d, slow %s, results %s: voted %s, the track says %s",
				p.monitor.Fall, p.monitor.Rise, p.monitor.OK, p.monitor.Slow, briefly(results), votesOf(got), votesOf(want))
		}
		return nil
	}
}

func briefly(results []checks.Result) (out []string) {
	for _, r := range results {
		out = append(out, fmt.Sprintf("%s(%s)", r.Health, r.Latency.Round(time.Millisecond)))
	}
	return out
}

func votesOf(votes []regions.Vote) (out []string) {
	for _, v := range votes {
		out = append(out, fmt.Sprintf("%s at %d", v.Health, v.Round))
	}
	return out
}

func TestVotesFollowTheTrack(t *testing.T) {
	coverage := regionstest.NewCoverage(t, "voted up", "voted degraded", "voted down", "voted unknown", "re-probe", "engine")
	regionstest.Holds(t, follows(t, checks.Track.Observe, coverage.Run))
}

// TestMutants shows that the property tells a wrong hysteresis from the right
// one: for each twin there is a run whose votes differ.
func TestMutants(t *testing.T) {
	twins := map[string]observe{
		"unknown counts as down": func(tr checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			if r.Health == checks.Unknown {
				r.Health = checks.Down
			}
			return tr.Observe(th, r)
		},
		"one success clears the failures": func(tr checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			th.OK = 1
			return tr.Observe(th, r)
		},
		"one more failure than fall": func(tr checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			th.Fall++
			return tr.Observe(th, r)
		},
		"no limit of latency": func(tr checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			th.Slow = 0
			return tr.Observe(th, r)
		},
		"the last result is the vote": func(_ checks.Track, _ checks.Thresholds, r checks.Result) checks.Track {
			return checks.Track{State: r.Health}
		},
	}
	for name, twin := range twins {
		regionstest.Caught(t, 100, name, follows(t, twin, func(...string) {}))
	}
}
