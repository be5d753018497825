package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
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
	name    string
	key     string
	rev     int64   // the create revision of key
	termRev int64   // the revision that raised the term
	asked   instant // when that was asked for first
	journal *journal
	opening opening
	mark    clientv3.LeaseID // of the interlude before, once resumed
	ended   regions.Term     // see TakeoversEnded
}

func (l *lead) Term() regions.Term    { return l.term }
func (l *lead) Holder() string        { return l.holder }
func (l *lead) Since() time.Time      { return l.since }
func (l *lead) Done() <-chan struct{} { return l.session.done }
func (l *lead) Sure() bool            { return l.session.sure() }

// Opening implements controller.Opening.
func (l *lead) Opening() ([]controller.Versioned, error, bool) {
	return l.opening.shards, l.opening.err, l.opening.known
}

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
// age of their keys; the first raises the term, if it is still first then, or
// the second, once the promise of the first has run out (see win).
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
	l := &lead{c: c, session: s, name: name, holder: newHolder(), key: fmt.Sprintf("%s%016x", c.keys.leader(), int64(s.lease))}
	c.candidacy.Store(l)
	if err = l.stand(ctx); err == nil {
		err = l.win(ctx)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	l.watchKey()
	l.keepSigning()
	l.keepApart()
	return l, nil
}

// watchKey ends the lead when its key goes, however it goes.
func (l *lead) watchKey() {
	l.c.spawn(func() {
		ctx, cancel := context.WithCancel(l.c.ctx)
		defer cancel()
		watch := l.c.etcd.Watch(ctx, l.key, clientv3.WithRev(l.termRev+1), clientv3.WithFilterPut())
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

// Leading is Leader, and whether the leader is this very process. Names do not
// tell: several processes of one region campaign under the same.
func (c *Cluster) Leading(ctx context.Context) (name string, term regions.Term, itself bool, err error) {
	who, term, err := c.leader(ctx)
	if l := c.candidacy.Load(); l != nil && err == nil && who.Holder == l.holder {
		select {
		case <-l.Done(): // its key has not gone yet
		default:
			itself = true
		}
	}
	return who.Name, term, itself, err
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
