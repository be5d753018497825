package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// trio is three members on loopback with their folders.
type trio struct {
	t       *testing.T
	conf    cluster.Config
	dirs    map[string]string
	mu      sync.Mutex
	running map[string]*cluster.Cluster
}

var trioNames = []string{"a", "b", "c"}

func newTrio(t *testing.T) *trio {
	x := &trio{t: t, conf: fast(), dirs: map[string]string{}, running: map[string]*cluster.Cluster{}}
	x.conf.LeaderLease = 10 * time.Second // who writes a ledger keeps its place on a busy machine
	x.conf.Members = map[string]cluster.Member{}
	for _, name := range trioNames {
		x.conf.Members[name] = cluster.Member{Peer: "http://" + freeAddress(t), Client: "http://" + freeAddress(t)}
		x.dirs[name] = clustertest.ShortDir(t)
	}
	t.Cleanup(func() {
		for _, name := range trioNames {
			x.stop(name)
		}
	})
	return x
}

// alone is the config of one member without a port.
func (x *trio) alone() cluster.Config {
	c := x.conf
	c.Members = nil
	return c
}

func (x *trio) options(name string) cluster.Options {
	log := zerolog.New(zerolog.NewTestWriter(x.t)).Level(zerolog.WarnLevel).With().Str("member", name).Logger()
	return cluster.Options{Owner: "trio", Name: name, DataDir: x.dirs[name], Log: log}
}

// start starts members at once, and returns when all are.
func (x *trio) start(names ...string) {
	x.t.Helper()
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			if _, err := x.open(within(x.t), x.conf, x.options(name)); err != nil {
				x.t.Errorf("start %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	if x.t.Failed() {
		x.t.FailNow()
	}
}

func (x *trio) open(ctx context.Context, conf cluster.Config, o cluster.Options) (*cluster.Cluster, error) {
	c, err := cluster.Start(ctx, conf, o)
	if err == nil {
		x.mu.Lock()
		x.running[o.Name] = c
		x.mu.Unlock()
	}
	return c, err
}

func (x *trio) stop(name string) {
	if c := x.running[name]; c != nil {
		delete(x.running, name)
		clustertest.Close(x.t, c)
	}
}

// lose moves a member's data away, as a new disk does.
func (x *trio) lose(name string) {
	if err := os.RemoveAll(filepath.Join(x.dirs[name], "etcd")); err != nil {
		x.t.Fatal(err)
	}
}

// settled waits until the cluster has as many voters and no learner, all of
// which answer, and returns them.
func (x *trio) settled(through string, voters int) []cluster.MemberState {
	x.t.Helper()
	return settled(x.t, x.running[through], voters)
}

func settled(t *testing.T, c *cluster.Cluster, voters int) []cluster.MemberState {
	t.Helper()
	ctx := within(t)
	for {
		list, agreed, err := c.Members(ctx)
		good := 0
		for _, m := range list {
			if m.Reachable && !m.Learner && (m.Client != "" || voters == 1) { // it has told its URL
				good++
			}
		}
		if err == nil && agreed && good == voters && len(list) == voters {
			return list
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the members are %+v (agreed %v, %v), want %d that vote", list, agreed, err, voters)
		case <-time.After(50 * time.Millisecond): // between two questions
		}
	}
}

// fill writes a ledger of several shards, orders and journal entries.
func fill(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	l, err := c.Campaign(within(t), "filler")
	if err != nil {
		t.Fatal(err)
	}
	for id := range 5 {
		s := steering.Shard{ID: id, Term: l.Term(), Seq: uint64(id) + 1, Config: "hash", Answers: []steering.Answer{{
			RRSet: providers.RRSet{Name: "app.example.test.", Type: "A", TTL: 30, Data: []string{fmt.Sprintf("192.0.2.%d", id)}}, MinTTL: 5,
		}}}
		if _, err := c.Commit(within(t), l, 0, s, &steering.Entry{Term: s.Term, Seq: s.Seq, Shard: id, Cause: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"one.example.test.", "two.example.test."} {
		o := controller.Order{Override: steering.Override{ID: cluster.NewOrderID(time.Now()), Act: steering.Freeze, Target: steering.Target{Service: name}, By: "lea", Why: "test"}}
		if err := c.AddOrder(within(t), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Resign(within(t)); err != nil {
		t.Fatal(err)
	}
}

// contents is all of the ledger, revisions of etcd aside.
func contents(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	ctx := within(t)
	all, err := c.Shards(ctx)
	for ; err != nil && ctx.Err() == nil; all, err = c.Shards(ctx) { // etcd elects yet
		t.Log(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var shards []steering.Shard
	for _, s := range all {
		shards = append(shards, s.Shard)
	}
	journal, err := c.Journal(within(t), cluster.JournalQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	notes, err := c.Notes(within(t), 1000)
	if err != nil {
		t.Fatal(err)
	}
	notes = slices.DeleteFunc(notes, func(n cluster.Note) bool { return strings.HasPrefix(n.Act, "member ") })
	for len(c.View().Overrides) < 2 {
		select {
		case <-c.Changed():
		case <-ctx.Done():
			t.Fatalf("the orders are %+v", c.View().Overrides)
		}
	}
	text, err := json.MarshalIndent(map[string]any{"shards": shards, "journal": journal, "notes": notes, "orders": c.View().Overrides}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if len(shards) != 5 || len(journal) != 5 {
		t.Fatalf("the ledger has %d shards and %d entries: %s", len(shards), len(journal), text)
	}
	return string(text)
}

func same(t *testing.T, when, before, after string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("%s, the ledger differs (-before +after):\n%s", when, diff)
	}
}

// TestALostFolderRejoins: three empty folders make one cluster; a folder that
// is lost rejoins under another id and with the ledger, twice, and a restart of
// all three finds it again.
func TestALostFolderRejoins(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	x.start(trioNames...)
	first := x.settled("a", 3)
	fill(t, x.running["a"])
	before := contents(t, x.running["b"])
	ids := map[string]string{}
	for _, m := range first {
		ids[m.Name] = m.ID
		if m.Version == "" || m.Bytes == 0 || m.Peer != x.conf.Members[m.Name].Peer || m.Client != x.conf.Members[m.Name].Client {
			t.Errorf("the member is %+v", m)
		}
	}
	for _, lost := range []string{"b", "a"} {
		x.stop(lost)
		x.lose(lost)
		x.start(lost)
		for _, m := range x.settled(lost, 3) {
			if again := m.ID == ids[m.Name]; again == (m.Name == lost) {
				t.Errorf("after the loss of %s, member %s has id %s, it had %s", lost, m.Name, m.ID, ids[m.Name])
			}
			ids[m.Name] = m.ID
		}
		same(t, "after the loss of "+lost, before, contents(t, x.running[lost]))
	}
	for _, name := range trioNames {
		x.stop(name)
	}
	x.start(trioNames...)
	x.settled("c", 3)
	same(t, "after a restart of all", before, contents(t, x.running["c"]))
}

// TestNothingIsMadeAnewWhileALedgerIsLeft: with two of three folders lost, the
// two wait, with a sentence that says so, and are no second cluster.
func TestNothingIsMadeAnewWhileALedgerIsLeft(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	x.start(trioNames...)
	x.settled("a", 3)
	fill(t, x.running["a"])
	before := contents(t, x.running["a"])
	lost := map[string]string{}
	for _, name := range []string{"b", "c"} {
		x.stop(name)
		lost[name] = x.dirs[name]
		x.dirs[name] = clustertest.ShortDir(t) // a new disk
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	said := make(chan string, 100)
	var wg sync.WaitGroup
	for _, name := range []string{"b", "c"} {
		o := x.options(name)
		o.Waiting = func(why error) { said <- why.Error() }
		wg.Go(func() {
			if c, err := cluster.Start(ctx, x.conf, o); err == nil {
				clustertest.Close(t, c)
				t.Errorf("%s started with an empty folder beside one ledger without a quorum", name)
			}
		})
	}
	heard := ""
	for !strings.Contains(heard, "has no quorum to let this member in") || !strings.Contains(heard, "nothing is made anew while a ledger is left") {
		select {
		case heard = <-said:
		case <-ctx.Done():
			t.Fatalf("nobody says why; the last was: %s", heard)
		}
	}
	cancel()
	wg.Wait()
	x.dirs["b"] = lost["b"] // the old disk is found again
	x.start("b")
	same(t, "after one came back", before, contents(t, x.running["b"]))
	x.start("c")
	x.settled("c", 3)
	same(t, "after all came back", before, contents(t, x.running["c"]))
}

// TestAMemberWithoutAQuorumStops: etcd's own end waits until the member has had
// a quorum; ours does not.
func TestAMemberWithoutAQuorumStops(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	x.start(trioNames...)
	x.settled("a", 3)
	for _, name := range trioNames {
		x.stop(name)
	}
	x.start("a")
	x.stop("a") // it is an error when it takes above 10 s
}

// TestOneThreeOne grows a member without a port to three, and shrinks them to
// one without a port.
func TestOneThreeOne(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	three := x.conf
	x.conf = x.alone()
	x.start("a")
	fill(t, x.running["a"])
	before := contents(t, x.running["a"])
	x.stop("a")

	x.conf = three
	x.start("a")
	x.settled("a", 1)
	if _, err := x.running["a"].AddMember(within(t), "z"); !errors.Is(err, cluster.ErrNoMember) || !strings.Contains(err.Error(), "(a, b, c)") {
		t.Errorf("added z: %v", err)
	}
	if added, err := x.running["a"].AddMember(within(t), "c"); err != nil || !added {
		t.Fatalf("add c: %v (%v)", added, err)
	}
	list, agreed, err := x.running["a"].Members(within(t))
	if err != nil || !agreed || len(list) != 2 || list[0].Peer != three.Members["a"].Peer || list[1].Name != "c" || !list[1].Learner || list[1].Reachable || list[1].Why != "it has not started yet" {
		t.Fatalf("the members are %+v (agreed %v, %v)", list, agreed, err)
	}
	x.start("b", "c")
	x.settled("c", 3)
	for _, name := range trioNames {
		same(t, "grown, at "+name, before, contents(t, x.running[name]))
	}

	// Too early: the config is of one, the cluster of three.
	x.stop("a")
	if _, err := x.open(within(t), x.alone(), x.options("a")); err == nil || !strings.Contains(err.Error(), "is one of a cluster of 3 members (") {
		t.Fatalf("started alone with the folder of one of three: %v", err)
	}
	x.start("a")
	x.settled("a", 3)
	if _, err := x.running["a"].RemoveMember(within(t), "z", false, cluster.Note{Time: time.Now(), By: "lea"}); !errors.Is(err, cluster.ErrNoMember) {
		t.Errorf("removed z: %v", err)
	}
	for i, name := range []string{"c", "b"} {
		gone := x.running[name]
		if _, err := x.running["a"].RemoveMember(within(t), name, false, cluster.Note{Time: time.Now(), By: "lea"}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-gone.Ended():
		case <-within(t).Done():
			t.Fatalf("%s was removed and goes on", name)
		}
		if err := gone.Err(); !errors.Is(err, cluster.ErrRemoved) || !strings.Contains(err.Error(), "move "+filepath.Join(x.dirs[name], "etcd")+" away") {
			t.Errorf("%s says of its removal: %v", name, err)
		}
		x.stop(name)
		x.settled("a", 2-i)
	}
	if _, err := x.running["a"].RemoveMember(within(t), "a", true, cluster.Note{Time: time.Now(), By: "lea"}); !errors.Is(err, cluster.ErrMemberRefused) {
		t.Errorf("removed the last member: %v", err)
	}
	x.stop("a")
	x.conf = x.alone()
	x.start("a")
	same(t, "shrunk", before, contents(t, x.running["a"]))
	if list := x.settled("a", 1); list[0].Peer != "" && !strings.HasPrefix(list[0].Peer, "http://127.") {
		t.Errorf("the only member is %+v", list[0])
	}
}

// TestRemoveKeepsTheQuorum: with one of three away, no other is removed unless
// it is forced; the one that is away for good is, and another takes its place.
func TestRemoveKeepsTheQuorum(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	x.start(trioNames...)
	x.settled("a", 3)
	fill(t, x.running["a"])
	before := contents(t, x.running["a"])
	x.stop("c")
	if _, err := x.running["a"].RemoveMember(within(t), "b", false, cluster.Note{Time: time.Now(), By: "lea"}); !errors.Is(err, cluster.ErrMemberRefused) || !strings.Contains(err.Error(), "needs 2 of them, and 1 can be reached") {
		t.Fatalf("removed b with c away: %v", err)
	}
	if _, err := x.running["a"].RemoveMember(within(t), "c", false, cluster.Note{Time: time.Now(), By: "lea"}); err != nil {
		t.Fatal(err)
	}
	x.settled("a", 2)
	// Its machine is gone: another has its name, at other addresses.
	x.conf.Members["c"] = cluster.Member{Peer: "http://" + freeAddress(t), Client: "http://" + freeAddress(t)}
	x.dirs["c"] = clustertest.ShortDir(t)
	for _, name := range []string{"a", "b"} {
		x.stop(name)
	}
	x.start(trioNames...)
	x.settled("c", 3)
	same(t, "with another c", before, contents(t, x.running["c"]))
	added, err := x.running["a"].AddMember(within(t), "c")
	if err != nil || added {
		t.Errorf("added c again: %v (%v)", added, err)
	}
}

// TestTwoLedgersAreNotJoined: two that ran alone, each with its own ledger, do
// not start as members of one cluster.
func TestTwoLedgersAreNotJoined(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	three := x.conf
	x.conf = x.alone()
	x.start("a", "b")
	x.stop("a")
	x.stop("b")
	x.conf = three
	x.start("a")
	_, err := x.open(within(t), three, x.options("b"))
	if err == nil || !strings.Contains(err.Error(), "is of another cluster") || !strings.Contains(err.Error(), "decide whose ledger to keep") {
		t.Fatalf("started a second cluster beside the first: %v", err)
	}
}
