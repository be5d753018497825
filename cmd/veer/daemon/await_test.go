package daemon_test

import (
	"fmt"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
)

// poll asks again and again until ok; last is what it was. What can be waited for
// by events has lab.until.
func (l *lab) poll(what string, ok func() (is bool, last string)) {
	l.t.Helper()
	late, again := time.After(patience), time.NewTicker(25*time.Millisecond)
	defer again.Stop()
	for {
		is, last := ok()
		if is {
			return
		}
		select {
		case <-again.C:
		case <-late:
			l.t.Fatalf("%s did not come to be; the last was %s", what, last)
		}
	}
}

// status asks a region's daemon, which hears of etcd in its own time, until
// its status is as wanted.
func (l *lab) status(region string, ok func(api.Status) bool) (st api.Status) {
	l.t.Helper()
	l.poll("the status of "+region, func() (bool, string) {
		var err error
		if st, err = l.client(region).Status(l.t.Context()); err != nil {
			l.t.Fatalf("status of %s: %v", region, err)
		}
		return ok(st), fmt.Sprintf("%+v, apart %+v", st, st.Apart)
	})
	return st
}

// orders waits until a region's daemon has heard of n orders.
func (l *lab) orders(region string, n int) {
	l.t.Helper()
	l.status(region, func(st api.Status) bool { return len(st.Orders) == n })
}

// every waits until a daemon has so many members that vote and can be reached.
func (l *lab) every(region string, voters int) (list api.Members) {
	l.t.Helper()
	l.poll(fmt.Sprintf("%d members that vote", voters), func() (bool, string) {
		var err error
		list, err = l.client(region).Members(l.t.Context())
		well := 0
		for _, m := range list.Members {
			if m.Reachable && !m.Learner {
				well++
			}
		}
		return err == nil && list.Agreed && well == voters, fmt.Sprintf("%+v, %v", list, err)
	})
	return list
}
