package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

// errRetry says that an election has to begin anew.
var errRetry = errors.New("the election changed meanwhile")

// lead is a won election.
type lead struct {
	c       *Cluster
	session *session
	term    regions.Term
	holder  string
	since   time.Time
	key     string
	rev     int64 // the create revision of key
	termRev int64 // the revision that raised the term
	journal *journal
	mark    clientv3.LeaseID // of the interlude before, once resumed
	ended   regions.Term     // see TakeoversEnded
}

func (l *lead) Term() regions.Term    { return l.term }
func (l *lead) Holder() string        { return l.holder }
func (l *lead) Since() time.Time      { return l.since }
func (l *lead) Done() <-chan struct{} { return l.session.done }
func (l *lead) Sure() bool            { return l.session.sure() }

// Resign implements controller.Lead. Done is closed when it returns.
func (l *lead) Resign(ctx context.Context) error {
	l.session.stop()
	l.session.close()
	ctx, cancel := l.c.bound(ctx)
	defer cancel()
	if _, err := l.c.etcd.Revoke(ctx, l.session.lease); err != nil {
		return fmt.Errorf("resign term %d (the lease runs out by itself): %w", l.term, err)
	}
	return nil
}

// Campaign implements controller.Elector. Those who campaign queue up by the
// age of their keys; the first raises the term, if it is still first then.
// Errors of etcd are retried; a term that cannot be read is returned, since
// leading without knowing it could make the term fall.
func (c *Cluster) Campaign(ctx context.Context, name string) (controller.Lead, error) {
	for {
		l, err := c.campaign(ctx, name)
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("campaign as %s: %w", name, ctx.Err())
		}
		if c.ctx.Err() != nil {
			return nil, fmt.Errorf("campaign as %s: the cluster is closed", name)
		}
		if bad := (*ValueError)(nil); errors.As(err, &bad) {
			return nil, fmt.Errorf("campaign as %s: %w", name, err)
		}
		c.opts.Log.Debug().Err(err).Msg("campaigning again")
		if !errors.Is(err, errRetry) {
			pause(ctx, 200*time.Millisecond)
		}
	}
}

// campaign stands for one election, until it is won or something fails.
func (c *Cluster) campaign(ctx context.Context, name string) (*lead, error) {
	s, err := c.newSession(ctx, c.conf.LeaderLease)
	if err != nil {
		return nil, fmt.Errorf("get a lease: %w", err)
	}
	l := &lead{c: c, session: s, holder: newHolder(), key: fmt.Sprintf("%s%016x", c.keys.leader(), int64(s.lease))}
	err = l.stand(ctx, name)
	for err == nil {
		var first bool
		if first, err = l.await(ctx); err == nil && first {
			if err = l.raise(ctx, name); err == nil {
				l.watchKey()
				l.keepApart()
				return l, nil
			}
		}
	}
	s.end()
	return nil, err
}

// stand puts the key by which this process is a candidate.
func (l *lead) stand(ctx context.Context, name string) error {
	value, err := pack(claim{Name: name, Holder: l.holder, Home: l.c.home, Pass: l.c.opts.Pass > 0})
	if err != nil {
		return err
	}
	ctx, cancel := l.c.bound(ctx)
	defer cancel()
	resp, err := l.c.etcd.Put(ctx, l.key, string(value), clientv3.WithLease(l.session.lease))
	if err != nil {
		return fmt.Errorf("stand for election: %w", err)
	}
	l.rev = resp.Header.Revision
	return nil
}

// await reports whether this candidate is the first; if not, it waits for the
// one before it to go, then reports false.
func (l *lead) await(ctx context.Context) (bool, error) {
	if !l.session.sure() {
		return false, errRetry
	}
	req, cancel := l.c.bound(ctx)
	before, err := l.c.etcd.Get(req, l.c.keys.leader(), clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithMaxCreateRev(l.rev-1),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend), clientv3.WithLimit(1))
	cancel()
	if err != nil {
		return false, fmt.Errorf("read the candidates: %w", err)
	}
	if len(before.Kvs) == 0 {
		return true, nil
	}
	l.c.awaitDeletion(ctx, string(before.Kvs[0].Key), before.Header.Revision, l.c.conf.LeaderLease)
	return false, ctx.Err()
}

// raise takes the lead: one transaction in which the term grows by one, if
// this candidacy stands and nobody else has raised it meanwhile.
func (l *lead) raise(ctx context.Context, name string) error {
	ctx, cancel := l.c.bound(ctx)
	defer cancel()
	key := l.c.keys.term()
	var opened, held error
	var beside sync.WaitGroup // reads at once: nobody leads meanwhile
	beside.Go(func() { l.journal, opened = l.c.openJournal(ctx, l) })
	beside.Go(func() { held = l.awaitRestore(ctx) })
	now, err := l.c.etcd.Get(ctx, key)
	beside.Wait()
	if err != nil {
		return fmt.Errorf("read the term: %w", err)
	}
	if err := errors.Join(held, opened); err != nil {
		return err
	}
	var was termRecord
	var at int64
	raw := []byte("{}")
	if len(now.Kvs) > 0 {
		at, raw = now.Kvs[0].ModRevision, now.Kvs[0].Value
		if was, err = unpack[termRecord](now.Kvs[0].Value); err != nil {
			return &ValueError{Key: key, Err: err}
		}
	}
	if l.c.opts.Floor != nil {
		if floor := l.c.opts.Floor(); floor > was.Term {
			l.c.opts.Log.Warn().Uint64("ledger", uint64(was.Term)).Uint64("served", uint64(floor)).
				Msg("the ledger was lost or restored: a higher term was served; the term starts above it")
			was.Term = floor
		}
	}
	l.term = was.Term + 1
	l.ended = was.Ended
	value, err := repack(raw, termRecord{Term: l.term, Holder: l.holder, Name: name, Ended: was.Ended})
	if err != nil {
		return err
	}
	resp, err := l.c.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(l.key), "=", l.rev), clientv3.Compare(clientv3.ModRevision(key), "=", at),
			clientv3.Compare(clientv3.CreateRevision(l.c.keys.restoring()), "=", 0)).
		Then(clientv3.OpPut(key, string(value))).
		Commit()
	if err != nil {
		return fmt.Errorf("raise the term: %w", err) // if it was raised, it stays so: a term without acts
	}
	if !resp.Succeeded {
		return errRetry
	}
	l.termRev, l.since = resp.Header.Revision, time.Now()
	if !l.session.sure() {
		return errRetry
	}
	return nil
}

// watchKey ends the lead when its key goes, however it goes.
func (l *lead) watchKey() {
	l.c.spawn(func() {
		ctx, cancel := context.WithCancel(l.c.ctx)
		defer cancel()
		watch := l.c.etcd.Watch(ctx, l.key, clientv3.WithRev(l.rev+1), clientv3.WithFilterPut())
		for {
			select {
			case resp, ok := <-watch:
				if len(resp.Events) > 0 {
					l.session.lapse()
					return
				}
				if !ok || resp.Err() != nil {
					watch = nil // the lease's own clock still guards
				}
			case <-l.session.done:
				return
			case <-ctx.Done():
				return
			}
		}
	})
}

// Leader returns the name and term of who leads; without a leader the name is
// empty and the term is the last one, 0 if there was none.
func (c *Cluster) Leader(ctx context.Context) (string, regions.Term, error) {
	who, term, err := c.leader(ctx)
	return who.Name, term, err
}

// Daemon returns the name of the daemon that leads; empty: none does, a pass
// may.
func (c *Cluster) Daemon(ctx context.Context) (string, error) {
	who, _, err := c.leader(ctx)
	if err != nil || who.Pass {
		return "", err
	}
	return who.Name, nil
}

// Candidates returns the names of all who stand for election, the oldest
// candidacy first: it leads, or is about to.
func (c *Cluster) Candidates(ctx context.Context) ([]string, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.leader(), clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return nil, fmt.Errorf("read the candidates: %w", err)
	}
	var out []string
	for _, kv := range resp.Kvs {
		who, err := unpack[claim](kv.Value)
		if err != nil {
			return out, &ValueError{Key: string(kv.Key), Err: err}
		}
		out = append(out, who.Name)
	}
	return out, nil
}

func (c *Cluster) leader(ctx context.Context) (claim, regions.Term, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Txn(ctx).Then(
		clientv3.OpGet(c.keys.term()),
		clientv3.OpGet(c.keys.leader(), clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend), clientv3.WithLimit(1)),
	).Commit()
	if err != nil {
		return claim{}, 0, fmt.Errorf("read the leader: %w", err)
	}
	terms, first := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	if len(terms) == 0 {
		return claim{}, 0, nil
	}
	t, err := unpack[termRecord](terms[0].Value)
	if err != nil {
		return claim{}, 0, &ValueError{Key: c.keys.term(), Err: err}
	}
	if len(first) == 0 {
		return claim{}, t.Term, nil
	}
	who, err := unpack[claim](first[0].Value)
	if err != nil {
		return claim{}, t.Term, &ValueError{Key: string(first[0].Key), Err: err}
	}
	if who.Holder != t.Holder {
		return claim{}, t.Term, nil // won, but the term is not raised yet
	}
	return who, t.Term, nil
}

// newHolder returns 128 random bits in hex.
func newHolder() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
