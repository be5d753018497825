package prober

import (
	"container/heap"
	"time"
)

// alarm is something to look at: a job's next scheduled probe, or (when flight
// is set) a flight's deadline. An alarm whose time is no longer the job's due
// or the flight's deadline is stale and means nothing; so nothing is ever
// taken out of the middle of an agenda.
type alarm struct {
	at     time.Duration
	job    *job
	flight *flight
}

// agenda holds alarms, the earliest first.
type agenda struct{ alarms alarms }

func (a *agenda) add(x alarm) { heap.Push(&a.alarms, x) }

// next returns when the earliest alarm is, and whether there is one.
func (a *agenda) next() (time.Duration, bool) {
	if len(a.alarms) == 0 {
		return 0, false
	}
	return a.alarms[0].at, true
}

// take removes and returns the earliest alarm that is due at now.
func (a *agenda) take(now time.Duration) (alarm, bool) {
	if len(a.alarms) == 0 || a.alarms[0].at > now {
		return alarm{}, false
	}
	return heap.Pop(&a.alarms).(alarm), true
}

type alarms []alarm

func (s alarms) Len() int           { return len(s) }
func (s alarms) Less(i, j int) bool { return s[i].at < s[j].at }
func (s alarms) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *alarms) Push(x any)        { *s = append(*s, x.(alarm)) }
func (s *alarms) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = alarm{} // so that the flight can be collected
	*s = old[:len(old)-1]
	return last
}
