package prober

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// passOf makes one pass and returns the vote, the memory and how often it
// probed.
func passOf(t *testing.T, m Memory, answers ...checks.Health) (regions.Vote, Memory, int) {
	t.Helper()
	b := newBackend()
	b.answer = func(_ context.Context, n int) checks.Result {
		h := answers[min(n, len(answers)-1)]
		return checks.Result{Health: h, Reason: h.String()}
	}
	monitor := quick
	monitor.Fall, monitor.Rise = 3, 2
	r := bench(t, []Job{jobOf(web, monitor, b)}, nil)
	ballot, next, err := r.p.Pass(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if ballot.Vantage != "eu-west" || len(ballot.Votes) != 1 || len(next.Kept) != 1 {
		t.Fatalf("ballot %+v, memory %+v", ballot, next)
	}
	return ballot.Votes[0], next, len(b.probes())
}

func TestPass(t *testing.T) {
	remembered := func(track checks.Track, fresh bool) Memory {
		return Memory{Kept: []Kept{{Endpoint: web, Track: track, Round: 7}}, Fresh: fresh}
	}
	for name, c := range map[string]struct {
		memory  Memory
		answers []checks.Health
		want    checks.Health
		probes  int
	}{
		"a first success is up":                    {Memory{}, []checks.Health{up}, up, 1},
		"as many failures as it takes, in a pass":  {Memory{}, []checks.Health{down}, down, 3},
		"one failure is looked at again":           {remembered(checks.Track{State: up}, true), []checks.Health{down, up}, up, 3},
		"what flaps is probed so often and not on": {remembered(checks.Track{State: up}, true), []checks.Health{down, up, down, up}, up, 4},
		"what is down stays so at the first rise":  {remembered(checks.Track{State: down}, true), []checks.Health{up}, down, 1},
		"and comes up with the next pass":          {remembered(checks.Track{State: down, Successes: 1}, true), []checks.Health{up}, up, 1},
		"votes that ran out are unknown":           {remembered(checks.Track{State: up}, false), []checks.Health{unknown}, unknown, 1},
		"and what was down then has to rise":       {remembered(checks.Track{State: down}, false), []checks.Health{up}, unknown, 1},
		"a checker that cannot tell changes not":   {remembered(checks.Track{State: up}, true), []checks.Health{unknown}, up, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vote, next, probes := passOf(t, c.memory, c.answers...)
				if vote.Health != c.want || probes != c.probes {
					t.Errorf("%s after %d probes, want %s after %d", vote.Health, probes, c.want, c.probes)
				}
				round := uint64(probes)
				for _, k := range c.memory.Kept {
					round += k.Round
				}
				if vote.Round != round || next.Kept[0].Round != round || next.Kept[0].Track.State != c.want {
					t.Errorf("round %d, remembered %+v, want round %d", vote.Round, next.Kept[0], round)
				}
			})
		})
	}
}

// A vantage whose references fail doubts itself.
func TestPassDoubtsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dark, well := newBackend(), newBackend()
		dark.set(down)
		r := bench(t, []Job{jobOf(web, quick, well)}, func(o *Options) {
			o.References = []Job{jobOf("ref@1", quick, dark), jobOf("ref@2", quick, dark), jobOf("ref@3", quick, well)}
		})
		ballot, next, err := r.p.Pass(t.Context(), Memory{})
		if err != nil || !ballot.Suspect || len(ballot.Votes) != 1 || len(next.Kept) != 4 {
			t.Errorf("%+v %+v %v", ballot, next, err)
		}
	})
}

// A probe through which the process stood still says nothing.
func TestPassThatWasPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil)
		b.answer = func(_ context.Context, n int) checks.Result {
			if n == 0 { // stopped for a minute: the answer comes after the time-out
				r.skew.Add(int64(time.Minute))
				return checks.Result{Health: down, Reason: "timed out"}
			}
			return checks.Result{Health: up, Reason: "fine"}
		}
		ballot, next, err := r.p.Pass(t.Context(), Memory{})
		if err != nil || ballot.Votes[0].Health != up || next.Kept[0].Track.Failures != 0 {
			t.Errorf("%+v %+v %v", ballot, next, err)
		}
	})
}

func TestPassThatIsCutShortSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.answer = hang
		r := bench(t, []Job{jobOf(web, quick, b)}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if ballot, _, err := r.p.Pass(ctx, Memory{}); err == nil {
			t.Errorf("it says %+v", ballot)
		}
	})
}
