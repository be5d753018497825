//go:build netns

package clusterlab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/internal/lab/links"
)

// leaderKilled: the process that leads is killed with its etcd member, which
// leads etcd too or does not, at the moment that a backend fails. How long it
// takes until both others answer anew is how long until the next decision:
// detection is shorter than any lease.
func leaderKilled(w *world, etcd bool) {
	var took, elected times
	var worst phases
	rounds := 0
	for range repeats(w.t, leadersOf) {
		w.settle()
		who := w.placed(etcd)
		watching, stop := context.WithCancel(context.Background())
		next := w.others(who)[0].nextEtcd(watching)
		w.jitter()
		began := time.Now()
		w.regions[0].web.kill()
		who.kill()
		all := w.answers(began, w.regions[1].web.address(), w.others(who)...)
		stop()
		p := w.phases(began, all, next)
		took, elected = append(took, all), append(elected, p.leads)
		if rounds = max(rounds, p.rounds()); all == took.worst() {
			worst = p
		}
	}
	w.t.Logf("another leads: %s", elected)
	w.t.Logf("next decision in the others' authorities: %s", took)
	w.t.Logf("the worst of them: %s", worst)
	if etcd {
		took.bound(w.t, "controller and etcd's leader killed", 6*time.Second)
		w.t.Logf("etcd's elections had up to %d rounds", rounds)
	} else {
		took.bound(w.t, "controller killed", 3500*time.Millisecond)
	}
}

// phases are the times since a failure at which the parts of a move were done.
type phases struct {
	etcd, leads, commits, answers time.Duration
}

func (p phases) String() string {
	etcd := "etcd kept its leader"
	if p.etcd > 0 {
		etcd = fmt.Sprintf("etcd had a leader after %.2f s", p.etcd.Seconds())
	}
	return fmt.Sprintf("%s, another led after %.2f s, the decision was agreed on after %.2f s, all answered anew after %.2f s",
		etcd, p.leads.Seconds(), p.commits.Seconds(), p.answers.Seconds())
}

// rounds is how many rounds of an election of etcd its time tells of: a round is
// over after at most two election time-outs and three round trips.
func (p phases) rounds() int {
	const round = 2*800*time.Millisecond + 3*2*oneWay
	return int((p.etcd + round - 1) / round)
}

// phases tells how a move came about, by the logs and by etcd.
func (w *world) phases(began time.Time, answers time.Duration, next func(time.Time) time.Duration) phases {
	w.t.Helper()
	p := phases{leads: w.logged(began, "leading", ""), commits: w.logged(began, "answer moved", app), answers: answers}
	p.etcd = next(began)
	return p
}

// logged is how long after began the first process says something, about a
// service where one is named. A log may be a moment behind what it tells.
func (w *world) logged(began time.Time, message, service string) time.Duration {
	w.t.Helper()
	first := time.Duration(-1)
	w.await("a process logs: "+message, func() (bool, string) {
		for _, r := range w.regions {
			b, err := os.ReadFile(r.log())
			if err != nil {
				w.t.Fatal(err)
			}
			for line := range bytes.Lines(b) {
				var l struct {
					Message, Service string
					Time             time.Time
				}
				if json.Unmarshal(line, &l) != nil || !strings.HasPrefix(l.Message, message) || service != "" && l.Service != service {
					continue
				}
				if d := l.Time.Sub(began.Round(0)); d > 0 && (first < 0 || d < first) {
					first = d
				}
			}
		}
		return first >= 0, "none"
	})
	return first
}

// placed returns who leads, once etcd's leader is beside it, or is not.
func (w *world) placed(beside bool) *region {
	w.t.Helper()
	var who *region
	w.await("a leader that stays", func() (bool, string) {
		if who, _ = w.leader(); who == nil {
			return false, "nobody leads"
		}
		etcd := who
		if !beside {
			etcd = w.others(who)[0]
		}
		if w.moveEtcd(etcd) {
			return false, "etcd's leader was moved to " + etcd.name
		}
		again, _ := w.leader()
		return again == who, who.name + " led"
	})
	return who
}

// writeInFlight: a leader is cut off from the others, but not from Route 53,
// with a write in flight, which is held before or after it takes effect. Then
// the verdict changes once more. The old leader's last effect must precede the
// new one's first.
func writeInFlight(w *world) {
	refused, void := 0, 0
	for i := range repeats(w.t, inFlightOf) {
		before := i%2 == 0
		w.settle()
		since, _ := w.aws.since(0)
		term, accepted, ok := w.lateWrite(before)
		for ; !ok; term, accepted, ok = w.lateWrite(before) {
			if void++; void > repeats(w.t, inFlightOf) {
				w.t.Fatal("leaders do not stay until they write")
			}
			w.settle()
			since, _ = w.aws.since(0)
		}
		if before && accepted {
			w.t.Errorf("run %d: a write of term %d took effect after the new leader's", i, term)
		}
		if before && !accepted {
			refused++
		}
		w.heal()
		w.settle()
		now, _ := w.aws.since(len(since))
		newer := false
		for _, e := range now {
			newer = newer || e.fence.Term > term
			if newer && e.fence.Term == term {
				w.t.Errorf("run %d: %s, after a newer term's", i, e)
			}
		}
		if !newer {
			w.t.Errorf("run %d: no newer term wrote: %v", i, now)
		}
	}
	w.t.Logf("%d writes in flight, %d of them refused by the fence; %d times the leader changed before it wrote, which does not count; load %s",
		repeats(w.t, inFlightOf), refused, void, lab.Load())
}

// lateWrite cuts a leader off with a write in flight, and lets that go on once
// another leader has written. It returns false where another led before the
// write: on a busy machine a leader can miss its time.
func (w *world) lateWrite(before bool) (term uint64, accepted, ok bool) {
	w.t.Helper()
	old, term := w.leader()
	if old == nil {
		w.t.Fatal("nobody leads")
	}
	when := afterEffect
	if before {
		when = beforeEffect
	}
	held := w.aws.hold(old.address(), when)
	w.regions[0].web.kill()
	w.await("a write of the leader", func() (bool, string) {
		_, now := w.leader()
		return isClosed(held.caught) || now > term, fmt.Sprintf("none; %s led in term %d, now it is term %d", old.name, term, now)
	})
	if !isClosed(held.caught) {
		w.aws.drop(old.address(), held)
		held.release()
		return term, false, false
	}
	w.cut(old)
	w.regions[1].web.kill()
	w.await("the new leader's answer at Route 53", func() (bool, string) {
		got := w.provided()
		return slices.Equal(got, []string{w.regions[2].web.address()}), fmt.Sprint(got)
	})
	held.release()
	<-held.done
	return term, held.accepted, true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// cut cuts a region off from the other regions, and nothing else.
func (w *world) cut(r *region) {
	for _, o := range w.others(r) {
		w.net.Both(r.host, o.host, links.Link{Cut: true})
	}
}

// leaderPaused: a leader is stopped while it has something to do, for longer
// than any lease. Others act meanwhile, and it writes nothing when it goes on.
func leaderPaused(w *world) {
	old, term := w.leader()
	if old == nil {
		w.t.Fatal("nobody leads")
	}
	w.regions[0].web.kill()
	w.jitter()
	old.pause()
	began := time.Now()
	took := w.answers(began, w.regions[1].web.address(), w.others(old)...)
	w.await("the new leader's answer at Route 53", func() (bool, string) {
		got := w.provided()
		return slices.Equal(got, []string{w.regions[1].web.address()}), fmt.Sprint(got)
	})
	w.pass(pauseOf - time.Since(began))
	effects, _ := w.aws.since(0)
	old.resume()
	w.await("the old leader sees the new one", func() (bool, string) {
		st, err := old.status()
		return err == nil && uint64(st.Leader.Term) > term && old.unsettledVotes() == "", fmt.Sprintf("%+v %v", st.Leader, err)
	})
	now, _ := w.aws.since(len(effects))
	for _, e := range now {
		if e.fence.Term == term {
			w.t.Errorf("after its pause %s", e)
		}
	}
	w.t.Logf("paused for %s; the others' answer changed after %s; load %s", time.Since(began).Round(time.Second), took, lab.Load())
}

// unsettledVotes says which vantage does not vote.
func (r *region) unsettledVotes() string {
	st, err := r.status()
	if err != nil {
		return err.Error()
	}
	for _, v := range st.Voters {
		if !v.Fresh {
			return string(v.Name)
		}
	}
	return ""
}
