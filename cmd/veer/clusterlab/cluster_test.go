//go:build netns

package clusterlab

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/internal/lab/links"
)

// TestCluster runs each scenario on one cluster, which is healed before each.
func TestCluster(t *testing.T) {
	w := newWorld(t, quick)
	for _, s := range []struct {
		name string
		run  func(*world)
	}{
		{"backend killed and hung", failovers},
		{"region lost", regionLost},
		{"controller killed", func(w *world) { leaderKilled(w, false) }},
		{"controller and etcd leader killed", func(w *world) { leaderKilled(w, true) }},
		{"write in flight", writeInFlight},
		{"leader paused", leaderPaused},
		{"leader not heard", leaderNotHeard},
		{"vantage without targets", vantageWithoutTargets},
		{"region cut off", regionCutOff},
		{"no quorum", noQuorum},
		{"disk full", diskFull},
		{"slow fsync", fsyncIsSlow},
		{"member removed", memberRemoved},
		{"idle", idle},
	} {
		t.Run(s.name, func(t *testing.T) { w.scenario(t, s.run) })
	}
	t.Run("planted: a zone without a fence", func(t *testing.T) {
		w.t = t
		w.aws.unfenced = true
		w.settle()
		since, _ := w.aws.since(0)
		w.lateWrite(true)
		effects, _ := w.aws.since(len(since) - 1)
		err := order(effects)
		if err == nil {
			t.Error("a late write took effect, and nobody saw it")
		}
		t.Logf("caught: %v", err)
	})
}

// TestSlowLinks: all links take 300 ms for a round trip and lose 20 % of what
// they carry. Nothing is down, so nothing moves: elections may.
func TestSlowLinks(t *testing.T) {
	w := newWorld(t, "{kind: http, path: /, port: 8080, interval: 10s, timeout: 5s, fall: 4, rise: 1, recheck: 500ms}")
	_, before := w.leader()
	slow := links.Link{Delay: 150 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.2}
	w.links(slow)
	for _, r := range w.regions {
		w.net.Both(r.host, w.outside, slow)
	}
	w.still(time.Now(), slowOf, w.regions...)
	w.slowLinksAreTold()
	w.heal()
	w.settle()
	_, after := w.leader()
	t.Logf("%s at 300 ms and 20 %% loss: no answer moved; terms %d to %d; load %s", slowOf, before, after, lab.Load())
}

// scenario heals the cluster, runs, and requires that in all of it no answer
// was empty and no write took effect out of its order.
func (w *world) scenario(t *testing.T, run func(*world)) {
	was := w.t
	w.t = t
	defer func() { w.t = was }()
	w.settle()
	empty := make([]int, len(w.regions))
	for i, r := range w.regions {
		empty[i] = r.poller.Counts().Empty
	}
	wrote, _ := w.aws.since(0)
	run(w)
	for i, r := range w.regions {
		if n := r.poller.Counts().Empty - empty[i]; n > 0 {
			t.Errorf("%s gave %d empty answers", r.name, n)
		}
	}
	effects, _ := w.aws.since(max(0, len(wrote)-1))
	if err := order(effects); err != nil {
		t.Errorf("Route 53 went back: %v", err)
	}
	for _, e := range effects {
		if len(e.app) == 0 {
			t.Errorf("Route 53 had no answer: %s", e)
		}
	}
}

// failovers: a backend is killed, or hangs, and all three authorities answer
// with the next one within what the budget has for it.
func failovers(w *world) {
	killed, hung := failover(w, (*backend).kill), failover(w, (*backend).hang)
	w.t.Logf("changed answer in all three authorities, killed: %s", killed)
	w.t.Logf("changed answer in all three authorities, hung: %s", hung)
	budget, all := w.budget(app, "leader", "election", "ttl"), append(killed, hung...)
	if all.worst() > budget {
		w.t.Errorf("the worst is %s, the budget without loss of the leader and TTL %s", all.worst(), budget)
	}
	all.least(w.t, "budget at most 1.5 times the measured worst", budget)
}

func failover(w *world, fail func(*backend)) (took times) {
	for range repeats(w.t, repeatsOf) {
		w.settle()
		w.jitter()
		began := time.Now()
		fail(w.regions[0].web)
		took = append(took, w.answers(began, w.regions[1].web.address(), w.regions...))
	}
	return took
}

// regionLost: endpoints, vantage, etcd member and leader go at once.
func regionLost(w *world) {
	var took times
	var worst phases
	rounds, most := 0, w.budget(app, "ttl")
	for range repeats(w.t, lossesOf) {
		w.settle()
		lost := w.regions[0]
		w.lead(lost, lost)
		watching, stop := context.WithCancel(context.Background())
		next := w.regions[1].nextEtcd(watching)
		w.jitter()
		began := time.Now()
		for _, r := range w.others(lost) {
			w.net.Both(lost.host, r.host, links.Link{Cut: true})
			w.net.Both(r.host, lost.web.host, links.Link{Cut: true})
		}
		w.net.Both(lost.host, w.outside, links.Link{Cut: true})
		lost.kill()
		all := w.answers(began, w.regions[1].web.address(), w.others(lost)...)
		stop()
		p := w.phases(began, all, next)
		took = append(took, all)
		if rounds = max(rounds, p.rounds()); all == took.worst() {
			worst = p
		}
		// The budget counts two rounds; a third is for one loss in a hundred.
		if all > most && p.rounds() <= 2 || all+2*time.Second > 15*time.Second {
			w.t.Errorf("%s; the budget without TTL is %s", p, most)
		}
	}
	w.t.Logf("changed answer in both authorities that are left: %s", took)
	w.t.Logf("the worst of them: %s", worst)
	w.t.Logf("rto 15 s; with a TTL of 2 s the worst is %s", took.worst()+2*time.Second)
	if rounds < 2 { // the budget has a term for a second one
		most = w.budget(app, "ttl", "election")
	}
	took.least(w.t, fmt.Sprintf("budget for %d rounds of etcd's election at most 1.5 times the measured worst", min(rounds, 2)), most)
}
