package prober

import "time"

// alarm is something to look at: a job's next scheduled probe, or (when flight
// is set) a flight's deadline. An alarm whose time is no longer the job's due
// or the flight's deadline is stale and means nothing; so nothing is ever
// taken out of the middle of an agenda.
type alarm struct {
	at     time.Duration
	job    *job
	flight *flight
}

// agenda holds alarms, the earliest first: a heap of four branches, which is
// half as deep as one of two, without the calls of container/heap, since each
// probe goes through it twice.
type agenda struct{ alarms []alarm }

const branches = 4

func (a *agenda) add(x alarm) {
	a.alarms = append(a.alarms, x)
	i := len(a.alarms) - 1
	for i > 0 {
		parent := (i - 1) / branches
		if a.alarms[parent].at <= x.at {
			break
		}
		a.alarms[i] = a.alarms[parent]
		i = parent
	}
	a.alarms[i] = x
}

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
	first, last := a.alarms[0], len(a.alarms)-1
	x := a.alarms[last]
	a.alarms[last] = alarm{} // so that the flight can be collected
	a.alarms = a.alarms[:last]
	if last > 0 {
		a.sink(x)
	}
	return first, true
}

// sink puts x into the free place in front, and then where it belongs.
func (a *agenda) sink(x alarm) {
	i := 0
	for {
		child := branches*i + 1
		if child >= len(a.alarms) {
			break
		}
		least := child
		for c := child + 1; c < min(child+branches, len(a.alarms)); c++ {
			if a.alarms[c].at < a.alarms[least].at {
				least = c
			}
		}
		if x.at <= a.alarms[least].at {
			break
		}
		a.alarms[i] = a.alarms[least]
		i = least
	}
	a.alarms[i] = x
}
