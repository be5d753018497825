package cluster

import (
	"time"
)

const (
	// apartEvery is how often a leader looks whether its member leads etcd.
	apartEvery = 2 * time.Second
	// apartFirst and apartMost bound the pause after etcd's leadership was moved
	// away: it comes back where the link to the other members is a bad one.
	apartFirst = 30 * time.Second
	apartMost  = 10 * time.Minute
)

// keepApart moves etcd's leadership to another member while this process leads,
// so that the loss of one process does not cost both elections. It is done
// after the election and not before: etcd's leader may become another at any
// time, and a candidate that gave way would only make the election longer. The
// move costs one round trip in which etcd takes no writes (ADR 14).
func (l *lead) keepApart() {
	m := l.c.member
	if m == nil || len(l.c.conf.Members) < 2 {
		return
	}
	l.c.spawn(func() {
		after := apartFirst
		for wait := apartEvery; l.lasts(wait); {
			if wait = apartEvery; m.etcd.Server.Leader() != m.etcd.Server.MemberID() {
				continue
			}
			// It picks the voting member that has been connected for longest.
			err := m.etcd.Server.TryTransferLeadershipOnShutdown()
			l.c.opts.Log.Info().AnErr("failed", err).Msg("leading Veer and etcd both: moved etcd's leadership to another member")
			wait, after = after, min(2*after, apartMost)
		}
	})
}

// lasts waits, and reports whether the lead has lasted that long.
func (l *lead) lasts(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.session.done:
		return false
	case <-l.c.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
