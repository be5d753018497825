package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions"
)

// lease is how etcd counts one: remaining time is cut to whole seconds when
// asked for, and a new etcd leader starts it again and adds a bit.
type lease struct {
	granted int64
	ends    time.Duration
}

func (l lease) remaining(now time.Duration) int64 { return int64((l.ends - now).Seconds()) }

// TestPropertyCreditIsNoLongerThanTheTime: what is credited has gone by since
// the mark was put, and the votes lived through it.
func TestPropertyCreditIsNoLongerThanTheTime(t *testing.T) {
	ages := map[string]func(granted, remaining int64) time.Duration{
		"":               leaseAge,
		"not cut down":   func(g, r int64) time.Duration { return time.Duration(g-r) * time.Second },
		"of the wrong":   func(g, r int64) time.Duration { return time.Duration(g) * time.Second },
		"counted upward": func(g, r int64) time.Duration { return time.Duration(g-r+1) * time.Second },
	}
	caught := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		ms := func(most int, what string) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(rt, what)) * time.Millisecond
		}
		committed := ms(5000, "committed")
		put := committed + ms(2000, "put")
		l := lease{granted: interludeLease, ends: put + interludeLease*time.Second}
		for n := rapid.IntRange(0, 2).Draw(rt, "etcd leaders"); n > 0; n-- {
			l.ends = max(l.ends, put+ms(60_000, "elected")+interludeLease*time.Second+ms(1000, "extended"))
		}
		now := put + ms(200_000, "now")
		m := mark{Term: 7, Votes: time.Duration(rapid.IntRange(0, 180).Draw(rt, "votes")) * time.Second}
		term := regions.Term(rapid.SampledFrom([]int{7, 8, 8, 8, 9, 12}).Draw(rt, "term"))
		for name, age := range ages {
			credit := m.credit(term, age(l.granted, l.remaining(now)))
			wrong := credit < 0 || credit > now-committed || credit > m.Votes || term != 8 && credit != 0
			if wrong && name == "" {
				rt.Fatalf("credited %s of %s, votes lived %s, in term %d", credit, now-committed, m.Votes, term)
			}
			caught[name] = caught[name] || wrong
		}
	})
	for name := range ages {
		if name != "" && !caught[name] {
			t.Errorf("an age %s was never noticed", name)
		}
	}
}

func TestClocksOfTwoBootsAreNotCompared(t *testing.T) {
	m := mark{Boot: "a", At: time.Minute}
	for boot, want := range map[string]time.Duration{"a": time.Minute, "b": 0, "": 0} {
		if got := bootAge(m, boot, 2*time.Minute); got != want {
			t.Errorf("boot %q: %s, want %s", boot, got, want)
		}
	}
	if got := bootAge(m, "a", time.Second); got != 0 {
		t.Errorf("a clock that went back gave %s", got)
	}
}

func TestTheClockSinceBoot(t *testing.T) {
	id, at, ok := sinceBoot()
	again, later, _ := sinceBoot()
	if !ok || id == "" || id != again || later < at {
		t.Errorf("%q %s, then %q %s (%v)", id, at, again, later, ok)
	}
}
