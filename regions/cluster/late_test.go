package cluster

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

var errGivenUp = errors.New("given up")

// lateKV gives up transactions while it is armed, as a client does whose time
// is over, and lets them arrive later: a request may wait in a link that is
// cut, or in a member that looks for its leader.
type lateKV struct {
	clientv3.KV
	armed bool
	given []*lateTxn
	// lose is how many transactions get lost: nobody answers.
	lose int
}

type lateTxn struct {
	kv      *lateKV
	cmps    []clientv3.Cmp
	yes, no []clientv3.Op
	ctx     context.Context
}

func (k *lateKV) Txn(ctx context.Context) clientv3.Txn { return &lateTxn{kv: k, ctx: ctx} }

func (t *lateTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.cmps = cs; return t }
func (t *lateTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.yes = ops; return t }
func (t *lateTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.no = ops; return t }
func (t *lateTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.kv.armed {
		t.kv.given = append(t.kv.given, t)
		return nil, errGivenUp
	}
	if t.kv.lose > 0 {
		t.kv.lose--
		<-t.ctx.Done()
		return nil, t.ctx.Err()
	}
	return t.kv.KV.Txn(t.ctx).If(t.cmps...).Then(t.yes...).Else(t.no...).Commit()
}

// arrive lets what was given up arrive, in its order.
func (k *lateKV) arrive(t *testing.T) {
	t.Helper()
	k.armed = false
	for _, g := range k.given {
		g.ctx = t.Context()
		if _, err := g.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	k.given = nil
}

// late starts a cluster whose transactions can be made late.
func late(t *testing.T) (*Cluster, *lateKV) {
	t.Helper()
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := Start(t.Context(), Config{}, Options{Owner: "test", Name: "one", DataDir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	// A second one on the same member, whose client is this test's.
	kv := &lateKV{KV: c.etcd.KV}
	client := clientv3.NewCtxClient(t.Context())
	client.KV, client.Lease, client.Watcher = kv, c.etcd.Lease, c.etcd.Watcher
	b := &Cluster{conf: c.conf, opts: c.opts, keys: c.keys, etcd: client, home: c.home, world: c.world, timeout: c.timeout, boot: c.boot, sleepless: c.sleepless}
	b.ctx, b.cancel = context.WithCancel(t.Context())
	t.Cleanup(func() {
		b.cancel()
		b.wg.Wait()
	})
	return b, kv
}

// TestALateCastUndoesNoLaterOne: a ballot that was given up, and arrives after
// or before the next one, leaves the newest in etcd.
func TestALateCastUndoesNoLaterOne(t *testing.T) {
	for name, before := range map[string]bool{"after the next": false, "before the next": true} {
		t.Run(name, func(t *testing.T) {
			c, kv := late(t)
			s, err := c.Join(t.Context(), "eu")
			if err != nil {
				t.Fatal(err)
			}
			cast := func(h checks.Health, round uint64) error {
				return s.Cast(t.Context(), regions.Ballot{Vantage: "eu", Votes: []regions.Vote{{Vantage: "eu", Endpoint: "e", Health: h, Round: round}}})
			}
			if err := cast(checks.Up, 1); err != nil {
				t.Fatal(err)
			}
			kv.armed = true
			if err := cast(checks.Down, 2); !errors.Is(err, errGivenUp) {
				t.Fatalf("the cast gave %v", err)
			}
			kv.armed = false
			if before {
				kv.arrive(t)
			}
			if err := cast(checks.Up, 3); err != nil {
				t.Fatal(err)
			}
			kv.arrive(t)
			if got := c.voteOf(t, "eu"); got.Health != checks.Up || got.Round != 3 {
				t.Fatalf("etcd has %+v, want the vote of round 3", got)
			}
			if err := cast(checks.Down, 4); err != nil {
				t.Fatal(err)
			}
			if got := c.voteOf(t, "eu"); got.Health != checks.Down || got.Round != 4 {
				t.Fatalf("etcd has %+v, want the vote of round 4", got)
			}
		})
	}
}

// TestALostCastIsMadeAgain: what went to a leader of etcd that died is lost
// without a word, and must not cost the whole time of the request.
func TestALostCastIsMadeAgain(t *testing.T) {
	c, kv := late(t)
	s, err := c.Join(t.Context(), "eu")
	if err != nil {
		t.Fatal(err)
	}
	kv.lose = 2
	ctx, cancel := context.WithTimeout(t.Context(), 4*c.conf.Election())
	defer cancel()
	if err := s.Cast(ctx, regions.Ballot{Vantage: "eu", Votes: []regions.Vote{{Vantage: "eu", Endpoint: "e", Health: checks.Up, Round: 1}}}); err != nil {
		t.Fatal(err)
	}
	if got := c.voteOf(t, "eu"); got.Round != 1 {
		t.Fatalf("etcd has %+v", got)
	}
}

// voteOf is the only vote of the vantage, as etcd has it.
func (c *Cluster) voteOf(t *testing.T, vantage regions.Name) cast {
	t.Helper()
	resp, err := c.etcd.Get(t.Context(), c.keys.chunk(vantage, 0))
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("%d chunks, %v", len(resp.Kvs), err)
	}
	got, err := unpack[chunk](resp.Kvs[0].Value)
	if err != nil || len(got.Votes) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	return got.Votes[0]
}

// TestASeatWhoseKeyIsGoneIsLost: with the revisions of the ballot unknown, too.
func TestASeatWhoseKeyIsGoneIsLost(t *testing.T) {
	c, _ := late(t)
	s, err := c.Join(t.Context(), "eu")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.etcd.Delete(t.Context(), c.keys.seat("eu")); err != nil {
		t.Fatal(err)
	}
	if err := s.Cast(t.Context(), regions.Ballot{Vantage: "eu"}); !errors.Is(err, errSeatLost) {
		t.Fatalf("the cast gave %v", err)
	}
	<-s.Lost()
}

// TestALateUnmarkUndoesNoMark: "no write is under way" arrives when one is.
func TestALateUnmarkUndoesNoMark(t *testing.T) {
	c, kv := late(t)
	l, err := c.Campaign(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	zone := controller.ZoneID{Provider: "aws", Zone: "example.com."}
	if err := c.Mark(t.Context(), l, zone); err != nil {
		t.Fatal(err)
	}
	kv.armed = true
	if err := c.Unmark(t.Context(), l, zone); !errors.Is(err, errGivenUp) {
		t.Fatalf("unmarking gave %v", err)
	}
	kv.armed = false
	if err := c.Mark(t.Context(), l, zone); err != nil {
		t.Fatal(err)
	}
	kv.arrive(t)
	if got, err := c.Marked(t.Context()); err != nil || len(got) != 1 {
		t.Fatalf("marked are %v, %v; want the zone", got, err)
	}
	if err := c.Unmark(t.Context(), l, zone); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Marked(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("marked are %v, %v; want none", got, err)
	}
}
