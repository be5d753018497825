package prober

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// starts runs n endpoints for d and returns when each was probed.
func starts(t *testing.T, n int, d time.Duration, m MonitorConfig, change func(*Options)) (out [][]time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var jobs []Job
		backends := make([]*backend, n)
		for i := range n {
			backends[i] = newBackend()
			jobs = append(jobs, jobOf(endpoint(i), m, backends[i]))
		}
		r := bench(t, jobs, change).run()
		pass(d)
		r.stop()
		for _, b := range backends {
			out = append(out, b.probes())
		}
	})
	return out
}

func endpoint(i int) regions.EndpointID {
	return regions.EndpointID(fmt.Sprintf("web@10.%d.%d.%d", i>>16, i>>8&255, i&255))
}

// The first probe comes at a random phase within an interval, each further one
// within a tenth of the interval of its time, and not always at the same time.
func TestScheduleIsSpreadAndJittered(t *testing.T) {
	m := MonitorConfig{Interval: time.Second}
	var first, gaps []time.Duration
	for _, seen := range starts(t, 100, 20*time.Second, m, nil) {
		first = append(first, seen[0])
		for i := 1; i < len(seen); i++ {
			gaps = append(gaps, seen[i]-seen[i-1])
		}
	}
	slices.Sort(first)
	slices.Sort(gaps)
	if last := first[len(first)-1]; last >= m.Interval || last < m.Interval*8/10 || first[0] > m.Interval*2/10 {
		t.Errorf("first probes from %s to %s: expected them all over the interval", first[0], last)
	}
	if gaps[0] < m.Interval*9/10 || gaps[len(gaps)-1] > m.WorstInterval() {
		t.Errorf("gaps from %s to %s: expected at most a tenth from the interval", gaps[0], gaps[len(gaps)-1])
	}
	if gaps[0] > m.Interval*92/100 || gaps[len(gaps)-1] < m.Interval*108/100 {
		t.Errorf("gaps from %s to %s: expected them all over the jitter", gaps[0], gaps[len(gaps)-1])
	}
}

// The schedule depends on seed, vantage and endpoint, and on nothing else.
func TestScheduleIsDeterministic(t *testing.T) {
	m := MonitorConfig{Interval: time.Second}
	run := func(n int, change func(*Options)) string {
		return fmt.Sprint(starts(t, n, 5*time.Second, m, change)[0])
	}
	base := run(3, nil)
	if again := run(1, nil); again != base {
		t.Errorf("beside other endpoints it was %s, alone %s", base, again)
	}
	if other := run(3, func(o *Options) { o.Seed = 2 }); other == base {
		t.Error("another seed makes the same schedule")
	}
	if other := run(3, func(o *Options) { o.Vantage = "us-east" }); other == base {
		t.Error("another vantage makes the same schedule")
	}
}

// A target that takes its whole time-out, or never answers, delays no other.
func TestSlowTargetDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := newBackend()
		release := make(chan struct{})
		jobs := []Job{jobOf(web, quick, fast)}
		for i := range 50 {
			slow := newBackend()
			slow.answer = hang
			if i%2 == 0 {
				slow.answer = deaf(release)
			}
			jobs = append(jobs, jobOf(endpoint(i), quick, slow))
		}
		r := bench(t, jobs, nil).run()
		pass(20 * quick.Interval)
		seen := fast.probes()
		for i := 1; i < len(seen); i++ {
			if gap := seen[i] - seen[i-1]; gap > quick.WorstInterval() {
				t.Errorf("probe %d came after %s", i, gap)
			}
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		close(release)
		r.stop()
	})
}

// Where probes find no room they start late, and one that could not start
// within its interval says unknown: an endpoint never looks down for it.
func TestNoRoomIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jobs []Job
		m := MonitorConfig{Interval: time.Second, Timeout: 900 * time.Millisecond, Fall: 1}
		for i := range 10 {
			b := newBackend()
			b.answer = slowly(800 * time.Millisecond)
			jobs = append(jobs, jobOf(endpoint(i), m, b))
		}
		r := bench(t, jobs, nil)
		r.p.room = 2
		r.run()
		pass(60 * time.Second)
		var forgotten int
		for i := range jobs {
			for _, c := range r.booth.changes(endpoint(i))[1:] {
				if c.vote.Health == down {
					t.Fatalf("%s looks down: %s", endpoint(i), c.vote.Why)
				}
				if c.vote.Health == unknown {
					forgotten++
				}
			}
		}
		if forgotten == 0 {
			t.Error("no vote became unknown: the test made no shortage")
		}
		r.stop()
	})
}

// Room is enough for every endpoint to hang at once on schedule.
func TestRoom(t *testing.T) {
	var jobs []*job
	for range 20_000 {
		jobs = append(jobs, &job{Job: Job{Monitor: MonitorConfig{}.Defaults()}})
	}
	if got := room(jobs); got < 20_000*2/5 || got > maxRoom {
		t.Errorf("room for 20,000 endpoints at 2s of 5s is %d", got)
	}
	if got := room(nil); got != spareRoom {
		t.Errorf("room for none is %d", got)
	}
}

// Five thousand endpoints, a tenth of them hung: the load is even and no probe
// is late.
func TestFiveThousandEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		const bucket = 100 * time.Millisecond
		m := MonitorConfig{}.Defaults()
		var jobs []Job
		backends := make([]*backend, n)
		for i := range n {
			backends[i] = newBackend()
			backends[i].answer = slowly(time.Duration(i%500) * time.Millisecond)
			if i%10 == 0 {
				backends[i].answer = hang
			}
			jobs = append(jobs, jobOf(endpoint(i), m, backends[i]))
		}
		r := bench(t, jobs, nil)
		r.booth.forgetful = true
		r.booth.cast = func(ctx context.Context, _ regions.Ballot) error {
			wait(ctx, 5*time.Millisecond)
			return ctx.Err()
		}
		r.run()
		pass(30 * time.Second)
		r.stop()
		load := make(map[time.Duration]int)
		for i, b := range backends {
			seen := b.probes()
			for k, at := range seen {
				if i%10 != 0 { // the hung ones re-probe at first
					load[at/bucket]++
				}
				if k > 0 && at-seen[k-1] > m.WorstInterval() {
					t.Fatalf("%s was probed after %s", endpoint(i), at-seen[k-1])
				}
			}
			want := up
			if i%10 == 0 {
				want = down
			}
			if got := r.booth.last().Votes[i].Health; got != want {
				t.Fatalf("%s is voted %s, expected %s", endpoint(i), got, want)
			}
		}
		for at, probes := range load {
			if mean := n * 9 / 10 * int(bucket) / int(m.Interval); probes > 2*mean {
				t.Errorf("%d probes start in the tenth of a second at %s, the mean is %d", probes, at*bucket, mean)
			}
		}
	})
}

func TestAllowance(t *testing.T) {
	a := newAllowance(10, 0)
	take := func(now time.Duration) (n int) {
		for range 100 {
			if a.take(now) {
				n++
			}
		}
		return n
	}
	equal(t, "tokens", []int{take(0), take(0), take(500 * time.Millisecond), take(time.Hour)}, []int{10, 0, 5, 10})
}
