package cluster_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
)

// kept is what the tests' vantage remembers.
var kept = []prober.Kept{
	{Endpoint: "e", Track: checks.Track{State: checks.Down, Successes: 1}, Round: 4},
	{Endpoint: "f", Track: checks.Track{State: checks.Up}, Round: 9},
}

func ballot(vantage regions.Name, h checks.Health, ids ...regions.EndpointID) regions.Ballot {
	b := regions.Ballot{Vantage: vantage}
	for _, id := range ids {
		b.Votes = append(b.Votes, regions.Vote{Vantage: vantage, Endpoint: id, Health: h, Round: 1, Why: "because"})
	}
	return b
}

// passOf is another process on the embedded etcd: a pass, or a daemon.
func passOf(t *testing.T, main *cluster.Cluster, name string, lease time.Duration) *cluster.Cluster {
	c := fast()
	c.Endpoints = []string{"unix://" + main.Socket()}
	return start(t, c, cluster.Options{Owner: "test", Name: name, Pass: lease})
}

func survey(t *testing.T, c *cluster.Cluster) []regions.Ballot {
	t.Helper()
	v, err := c.Survey(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return v.Ballots
}

func joinPass(t *testing.T, c *cluster.Cluster, vantage regions.Name) *cluster.PassSeat {
	t.Helper()
	s, err := c.JoinPass(within(t), vantage)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func castPass(t *testing.T, s *cluster.PassSeat, b regions.Ballot, m prober.Memory) {
	t.Helper()
	if err := s.Cast(within(t), b, m); err != nil {
		t.Fatal(err)
	}
}

func TestAPassOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	first := passOf(t, main, "eu", time.Minute)
	seat := joinPass(t, first, "eu")
	if m, err := seat.Recall(within(t)); err != nil || m.Fresh || len(m.Kept) != 0 {
		t.Fatalf("a first pass remembers %+v (%v)", m, err)
	}
	castPass(t, seat, ballot("eu", checks.Up, "e", "f"), prober.Memory{Kept: kept})
	clustertest.Close(t, first)
	if got := survey(t, main); len(got) != 1 || len(got[0].Votes) != 2 {
		t.Fatalf("after its end the votes are %+v", got)
	}

	// The next pass takes its place, with what it remembered; the votes of the
	// one before count until they are replaced.
	second := passOf(t, main, "eu", time.Minute)
	next := joinPass(t, second, "eu")
	m, err := next.Recall(within(t))
	if err != nil || !m.Fresh || cmp.Diff(kept, m.Kept) != "" {
		t.Fatalf("the second pass remembers %+v (%v)", m, err)
	}
	if got := survey(t, main); len(got) != 1 {
		t.Fatalf("while the second pass probes the votes are %+v", got)
	}
	castPass(t, next, ballot("eu", checks.Down, "e"), prober.Memory{Kept: kept[:1]})
	got := survey(t, main)
	if len(got) != 1 || len(got[0].Votes) != 1 || got[0].Votes[0].Health != checks.Down {
		t.Fatalf("the second pass's votes are %+v", got)
	}
}

// An older pass of the same vantage that comes late writes nothing.
func TestAPassThatWasReplacedWritesNothing(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	late := joinPass(t, passOf(t, main, "eu", time.Minute), "eu")
	castPass(t, joinPass(t, passOf(t, main, "eu", time.Minute), "eu"), ballot("eu", checks.Up, "e"), prober.Memory{Kept: kept})
	if err := late.Cast(within(t), ballot("eu", checks.Down, "e"), prober.Memory{}); err == nil {
		t.Error("a pass that was replaced has voted")
	}
	if got := survey(t, main); got[0].Votes[0].Health != checks.Up {
		t.Errorf("the votes are %+v", got)
	}
	if m, err := joinPass(t, passOf(t, main, "eu", time.Minute), "eu").Recall(within(t)); err != nil || len(m.Kept) != 2 {
		t.Errorf("the late pass changed what is remembered: %+v (%v)", m, err)
	}
}

// A daemon's seat is never taken; a pass's is taken by a daemon at once.
func TestPassAndDaemon(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	pass := passOf(t, main, "once", time.Hour)
	castPass(t, joinPass(t, pass, "eu"), ballot("eu", checks.Up, "e"), prober.Memory{Kept: kept})
	daemon, err := main.Join(within(t), "eu") // does not wait for an hour
	if err != nil {
		t.Fatal(err)
	}
	if got := survey(t, main); len(got) != 0 {
		t.Errorf("the pass's votes outlive the daemon's coming: %+v", got)
	}
	if _, err := pass.JoinPass(within(t), "eu"); !errors.Is(err, cluster.ErrTaken) {
		t.Errorf("a pass took a daemon's seat: %v", err)
	}
	if err := daemon.Leave(within(t)); err != nil {
		t.Fatal(err)
	}
	joinPass(t, pass, "eu")
}

// The votes of a pass run out, and then the next one starts without.
func TestVotesOfAPassRunOut(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	castPass(t, joinPass(t, passOf(t, main, "eu", time.Second), "eu"), ballot("eu", checks.Up, "e"), prober.Memory{Kept: kept})
	for ctx := within(t); len(survey(t, main)) > 0; {
		select {
		case <-main.Changed():
		case <-ctx.Done():
			t.Fatal("the votes do not run out")
		}
	}
	m, err := joinPass(t, passOf(t, main, "eu", time.Minute), "eu").Recall(within(t))
	if err != nil || m.Fresh || len(m.Kept) != 2 {
		t.Errorf("after that it remembers %+v (%v)", m, err)
	}
}

// An embedded etcd that is stopped between the passes keeps what they counted.
func TestPassesOnAKeptFolder(t *testing.T) {
	t.Parallel()
	dir := clustertest.ShortDir(t)
	run := func(f func(c *cluster.Cluster)) {
		c := start(t, fast(), cluster.Options{Owner: "test", Name: "eu", DataDir: dir, Pass: time.Minute})
		f(c)
		clustertest.Close(t, c)
	}
	run(func(c *cluster.Cluster) {
		castPass(t, joinPass(t, c, "eu"), ballot("eu", checks.Up, "e"), prober.Memory{Kept: kept})
		pauseAt(t, c, 0, false)
	})
	run(func(c *cluster.Cluster) {
		m, err := joinPass(t, c, "eu").Recall(within(t))
		if err != nil || !m.Fresh || cmp.Diff(kept, m.Kept) != "" {
			t.Errorf("the second pass remembers %+v (%v)", m, err)
		}
		if credit := pauseAt(t, c, 1, false); credit <= 0 || credit > time.Minute {
			t.Errorf("the time between is %s", credit)
		}
	})
}

// pauseAt leads once: it returns what the timers are credited.
func pauseAt(t *testing.T, c *cluster.Cluster, after int, again bool) time.Duration {
	t.Helper()
	l, err := c.Campaign(within(t), "eu")
	if err != nil {
		t.Fatal(err)
	}
	if int(l.Term()) <= after {
		t.Fatalf("term %d", l.Term())
	}
	credit, err := c.Resume(within(t), l)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(within(t), l, again); err != nil {
		t.Fatal(err)
	}
	if err := l.Resign(within(t)); err != nil {
		t.Fatal(err)
	}
	return credit
}

// The interlude is measured by etcd's own clock, goes on over passes that
// changed nothing, and counts for the next term only.
func TestTheInterlude(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	pass := passOf(t, main, "eu", time.Minute)
	castPass(t, joinPass(t, pass, "eu"), ballot("eu", checks.Up, "e"), prober.Memory{Kept: kept})
	began := time.Now()
	pauseAt(t, pass, 0, false)
	for {
		credit := pauseAt(t, pass, 0, true)
		if past := time.Since(began); credit > past {
			t.Fatalf("credited %s of %s", credit, past)
		} else if past > 30*time.Second {
			t.Fatal("nothing is ever credited")
		}
		if credit > 0 {
			break
		}
	}
	l, err := main.Campaign(within(t), "main") // a daemon's term
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Resign(within(t)); err != nil {
		t.Fatal(err)
	}
	if credit := pauseAt(t, pass, 0, true); credit != 0 {
		t.Errorf("a daemon ran the timers, and %s is credited all the same", credit)
	}
	if err := main.Pause(within(t), l, false); !errors.Is(err, controller.ErrNotLeader) {
		t.Errorf("one that leads no more marked the end of a pass: %v", err)
	}
}

func TestMarkedZones(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	z := controller.ZoneID{Provider: "aws", Zone: "0/25.2.0.192.in-addr.arpa."}
	l, err := main.Campaign(within(t), "main")
	if err != nil {
		t.Fatal(err)
	}
	marked := func() []controller.ZoneID {
		all, err := main.Marked(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if err := main.Mark(within(t), l, z); err != nil || !slices.Equal(marked(), []controller.ZoneID{z}) {
		t.Fatalf("marked are %v (%v)", marked(), err)
	}
	if err := main.Unmark(within(t), l, z); err != nil || len(marked()) != 0 {
		t.Fatalf("marked are %v (%v)", marked(), err)
	}
	if err := l.Resign(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := main.Mark(within(t), l, z); !errors.Is(err, controller.ErrNotLeader) {
		t.Errorf("one that leads no more marked a zone: %v", err)
	}
}

func TestWhoLeadsIsADaemon(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	pass := passOf(t, main, "eu", time.Minute)
	for _, c := range []struct {
		of   *cluster.Cluster
		want string
	}{{main, "x"}, {pass, ""}} {
		l, err := c.of.Campaign(within(t), "x")
		if err != nil {
			t.Fatal(err)
		}
		if name, err := main.Daemon(within(t)); err != nil || name != c.want {
			t.Errorf("the daemon that leads is %q (%v), want %q", name, err, c.want)
		}
		if err := l.Resign(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}
