//go:build netns

package clusterlab

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/internal/lab/links"
	"github.com/veerdns/veer/cmd/veer/api"
)

// lookFor is how long a scenario looks for an answer that must not change:
// longer than detection, leases and an election together.
const lookFor = 10 * time.Second

// still requires that the authorities answer all the time, and always the same.
func (w *world) still(since time.Time, span time.Duration, at ...*region) {
	w.t.Helper()
	type seen struct{ changes, answered, failed int }
	was := map[*region]seen{}
	for _, r := range at {
		all, _ := r.poller.Changes(0)
		c := r.poller.Counts()
		was[r] = seen{len(all), c.Answered, c.Failed}
	}
	w.pass(span - time.Since(since))
	for _, r := range at {
		if all, _ := r.poller.Changes(was[r].changes); len(all) > 0 {
			w.t.Errorf("%s changed its answer: %v", r.name, all)
		}
		c := r.poller.Counts()
		if c.Answered-was[r].answered < int(span/pollEvery)/4 || c.Failed > was[r].failed {
			w.t.Errorf("%s gave %d answers and failed %d times in %s", r.name, c.Answered-was[r].answered, c.Failed-was[r].failed, span)
		}
	}
}

// leaderNotHeard: what the leader sends to the other regions is lost, what they
// send arrives. The others go on without it.
func leaderNotHeard(w *world) {
	old, term := w.leader()
	if old == nil {
		w.t.Fatal("nobody leads")
	}
	began := time.Now()
	for _, o := range w.others(old) {
		w.net.Set(old.host, o.host, links.Link{Cut: true})
	}
	w.regions[0].web.kill()
	took := w.answers(began, w.regions[1].web.address(), w.others(old)...)
	if most := w.budget(app, "ttl"); took > most {
		w.t.Errorf("it took %s, the budget without TTL is %s", took, most)
	}
	w.t.Logf("changed answer after %s, load %s", took, lab.Load())
	// Each side tells who is silent to it, and who leads.
	for _, r := range w.others(old) {
		r.told(old.name+" silent and another leader", func(st api.Status) bool {
			return st.Leader.Name != "" && st.Leader.Name != old.name && uint64(st.Leader.Term) > term && warned(st, "vantage "+old.name+" is silent")
		})
	}
	old.told("that etcd does not answer, and who is silent", func(st api.Status) bool {
		silent := 0
		for _, r := range w.others(old) {
			if warned(st, "vantage "+r.name+" is silent") {
				silent++
			}
		}
		return st.Leader.Name == "" && warned(st, "etcd does not answer") && silent == 2
	})
	w.heal()
	w.await("the old leader follows", func() (bool, string) {
		st, err := old.status()
		return err == nil && uint64(st.Leader.Term) > term && st.Leader.Name != "", fmt.Sprintf("%+v %v", st.Leader, err)
	})
	w.answers(began, w.regions[1].web.address(), old)
}

// vantageWithoutTargets: one vantage reaches no endpoint, but the others. It
// doubts itself and moves nothing; not even with another endpoint down, which
// the others must agree on.
func vantageWithoutTargets(w *world) {
	blind := w.regions[2]
	began := time.Now()
	for _, r := range w.regions {
		w.net.Both(blind.host, r.web.host, links.Link{Cut: true})
	}
	w.await(blind.name+" doubts itself", func() (bool, string) {
		st, err := w.regions[0].status()
		if err != nil {
			return false, err.Error()
		}
		for _, v := range st.Voters {
			if string(v.Name) == blind.name && v.Suspect {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", st.Voters)
	})
	w.still(began, lookFor, w.regions...)
	began = time.Now()
	w.regions[0].web.kill()
	w.t.Logf("two vantages move the traffic after %s", w.answers(began, w.regions[1].web.address(), w.regions...))
}

// regionCutOff: a region is cut off with its backend, and runs on. The others
// move the traffic; it keeps the answers that it has.
func regionCutOff(w *world) {
	lost := w.regions[0]
	began := time.Now()
	w.cut(lost)
	w.net.Both(lost.host, w.outside, links.Link{Cut: true})
	for _, r := range w.others(lost) {
		w.net.Both(r.host, lost.web.host, links.Link{Cut: true})
		w.net.Both(lost.host, r.web.host, links.Link{Cut: true})
	}
	w.t.Logf("the others' answer changed after %s, load %s", w.answers(began, w.regions[1].web.address(), w.others(lost)...), lab.Load())
	w.still(time.Now(), lookFor/2, lost)
	if got := w.answers(time.Now(), lost.web.address(), lost); got != 0 {
		w.t.Errorf("%s did not keep its answer", lost.name)
	}
	w.heal()
	w.await(lost.name+" follows again", func() (bool, string) {
		st, err := lost.status()
		return err == nil && st.Leader.Name != "", fmt.Sprintf("%+v %v", st.Leader, err)
	})
}

// noQuorum: two of three processes are dead. The third decides nothing, and
// answers as before; when it is killed and starts again, too.
func noQuorum(w *world) {
	left := w.regions[0]
	for _, r := range w.others(left) {
		r.kill()
	}
	w.regions[0].web.kill()
	wrote, _ := w.aws.since(0)
	w.still(time.Now(), lookFor, left)
	if now, _ := w.aws.since(len(wrote)); len(now) > 0 {
		w.t.Errorf("without a quorum, Route 53 was written: %v", now)
	}
	left.kill()
	began := time.Now()
	left.start()
	before := left.poller.Counts().Answered
	w.await(left.name+" serves again", func() (bool, string) {
		c := left.poller.Counts()
		return c.Answered > before, fmt.Sprintf("%+v", c)
	})
	w.t.Logf("without a quorum, a restarted authority serves after %s", time.Since(began).Round(time.Millisecond))
	w.still(time.Now(), lookFor/2, left)
	for _, r := range w.others(left) {
		r.start()
	}
	w.answers(time.Now(), w.regions[1].web.address(), w.regions...)
}

// idle prints what a cluster costs that has nothing to do.
func idle(w *world) {
	type use struct {
		cpu  time.Duration
		sent uint64
	}
	measure := func() map[*region]use {
		out := map[*region]use{}
		for _, r := range w.regions {
			u := use{cpu: r.cpu()}
			for _, o := range w.others(r) {
				u.sent += w.net.Counts(r.host, o.host).Bytes
			}
			out[r] = u
		}
		return out
	}
	before, began := measure(), time.Now()
	w.pass(idleOf)
	after, took := measure(), time.Since(began)
	leads, _ := w.leader()
	for _, r := range w.regions {
		cpu := float64(after[r].cpu-before[r].cpu) / float64(took)
		bytes := float64(after[r].sent-before[r].sent) / took.Minutes()
		if cpu <= 0 || bytes <= 0 {
			w.t.Errorf("%s: %.2f of a CPU, %.0f bytes a minute: nothing was measured", r.name, cpu, bytes)
		}
		w.t.Logf("%s: %.1f %% of a CPU, %s resident, %.2f MB a minute sent to the other regions, leads: %v", r.name, 100*cpu, r.memory(), bytes/1e6, r == leads)
	}
	w.t.Logf("3 endpoints, probed every second by each vantage (probes are not counted as traffic), for %s, load %s", took.Round(time.Second), lab.Load())
}

// cpu is the processor time that the process has used.
func (r *region) cpu() time.Duration {
	r.w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.proc.PID()))
	if err != nil {
		r.w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			r.w.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (r *region) memory() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.proc.PID()))
	if err != nil {
		r.w.t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "VmRSS:") })
	if i < 0 {
		return "?"
	}
	return strings.Join(strings.Fields(lines[i])[1:], " ")
}

// slowLinksAreTold: each region's status says that the members are further away
// than declared and what to do, and who leads in which term, or that etcd does
// not answer.
func (w *world) slowLinksAreTold() {
	for _, r := range w.regions {
		r.told("that the links are slow, and who leads or why nobody does", func(st api.Status) bool {
			leads := st.Leader.Name != "" && st.Leader.Term > 0
			return leads != warned(st, "etcd does not answer") && warned(st, "above the declared cluster.rtt of 80ms", "declare more")
		})
	}
}
