package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/controller"
)

// scenery is what a candidate has read of the election.
type scenery struct {
	at     int64 // the revision of the reading
	term   termRecord
	raw    []byte // of term
	termAt int64  // its revision; 0: there is none
	before *rival // who stands right before this candidate; nil: nobody
	queued bool   // somebody stands before that one: it does not lead
}

// rival is the candidate whose end this one waits for.
type rival struct {
	key   string
	lease clientv3.LeaseID
	claim claim
	rev   int64     // of its key as it was seen last
	nth   int64     // of the key's values: its version
	seen  time.Time // when that was, or at the latest can have been sent
	heard time.Time // when it was heard of
}

// saw takes in the key as it is now. What cannot be read promises nothing.
//
// A sign that was under way when etcd's leader was lost is agreed on when there
// is another: long after it was sent. So it also counts from the sign before, by
// what went by on the leader's own clock between the two. Only two that follow
// one another are compared: one between them may have been sent later, and no
// clock runs so wrong within one promise as to matter.
func (r *rival) saw(value []byte, rev, nth int64) {
	who, err := unpack[claim](value)
	if err != nil {
		who = claim{}
	}
	now := time.Now()
	was := *r
	r.claim, r.rev, r.nth, r.seen, r.heard = who, rev, nth, now, now
	r.after(was)
}

func (r *rival) after(was rival) {
	between := r.claim.Clock - was.claim.Clock
	if r.nth != was.nth+1 || was.claim.Holder != r.claim.Holder || was.claim.Clock <= 0 || between < 0 || between > r.claim.Sign {
		return
	}
	if at := was.heard.Add(between); at.Before(r.seen) {
		r.seen = at
	}
}

// over is when it surely leads no more: it has promised not to act later than
// so long after it sent what was seen. That was sent before it was seen.
func (r *rival) over() time.Time { return r.seen.Add(r.claim.Sign) }

// opening is the ledger as of the transaction that made a leader.
type opening struct {
	shards []controller.Versioned
	err    error
	known  bool
}

// stand puts the key by which this process is a candidate.
func (l *lead) stand(ctx context.Context) error {
	value, err := l.sign(0, 0)
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

// sign is the value of the candidate's key. With a promise it is what a leader
// puts again and again as its sign of life.
func (l *lead) sign(promise, clock time.Duration) ([]byte, error) {
	return pack(claim{Name: l.name, Holder: l.holder, Home: l.c.home, Process: l.c.process, Pass: l.c.opts.Pass > 0, Sign: promise, Clock: clock})
}

// win waits until nobody stands before this candidate, or only one whose
// promise has run out, and raises the term.
//
// A lease alone would end the lead of one that was lost as well, but later:
// etcd counts it in whole seconds, looks every 500 ms for leases that ran out,
// and begins to count anew, an election time-out later, when etcd's own leader
// is lost beside it. A sign of life is agreed on by all members, and so outlives
// etcd's leader: whoever has seen none for as long as it is good for, and finds
// in the transaction that there is none newer, knows that its writer's own clock
// has stopped it (ADR 20).
func (l *lead) win(ctx context.Context) error {
	for {
		won, err := l.try(ctx)
		if bad := (*ValueError)(nil); won || errors.Is(err, errRetry) || errors.As(err, &bad) {
			return err
		}
		if l.c.ctx.Err() != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err(), l.c.ctx.Err())
		}
		if err != nil { // as while etcd elects; the place in the queue stays
			l.c.opts.Log.Debug().Err(err).Msg("looking at the election again")
			pause(ctx, 50*time.Millisecond)
		}
	}
}

// try looks once, waits, and raises the term where it may. It reports whether it
// has; else there is something new to look at.
func (l *lead) try(ctx context.Context) (bool, error) {
	now, err := l.look(ctx)
	if err != nil {
		return false, err
	}
	if now.before != nil {
		l.c.recall(now.before)
		if !l.outlast(ctx, now) {
			return false, nil
		}
	}
	return l.raise(ctx, now)
}

// recall gives a rival the age that this process knows: it is no younger for
// having been read again, or by another candidacy.
func (c *Cluster) recall(r *rival) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch was := c.rival; {
	case was.key != r.key:
	case was.rev == r.rev:
		r.seen, r.heard = was.seen, was.heard
	default:
		r.after(was)
	}
	c.rival = *r
}

// look reads who stands before this candidate, and the term.
func (l *lead) look(ctx context.Context) (scenery, error) {
	select {
	case <-l.session.done:
		return scenery{}, errRetry
	default:
	}
	if ctx.Err() != nil {
		return scenery{}, ctx.Err()
	}
	req, cancel := l.c.bound(ctx)
	defer cancel()
	k := l.c.keys
	resp, err := l.c.etcd.Txn(req).Then(
		clientv3.OpGet(k.leader(), clientv3.WithPrefix(), clientv3.WithMaxCreateRev(l.rev-1), clientv3.WithLimit(2),
			clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend)),
		clientv3.OpGet(k.term()), clientv3.OpGet(k.restoring(), clientv3.WithKeysOnly())).Commit()
	if err != nil {
		return scenery{}, fmt.Errorf("read the candidates and the term: %w", err)
	}
	before, terms := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	now := scenery{at: resp.Header.Revision, raw: []byte("{}"), queued: len(before) > 1}
	if len(before) > 0 {
		now.before = &rival{key: string(before[0].Key), lease: clientv3.LeaseID(before[0].Lease)}
		now.before.saw(before[0].Value, before[0].ModRevision, before[0].Version)
	}
	if len(terms) > 0 {
		now.raw, now.termAt = terms[0].Value, terms[0].ModRevision
		if now.term, err = unpack[termRecord](now.raw); err != nil {
			return scenery{}, &ValueError{Key: k.term(), Err: err}
		}
	}
	if r := now.before; (r == nil || r.claim.Sign > 0) && len(resp.Responses[2].GetResponseRange().Kvs) > 0 {
		if err := l.awaitRestore(ctx); err != nil {
			return scenery{}, err
		}
		return l.look(ctx)
	}
	return now, nil
}

// outlast waits for the end of the candidate before this one, and reports
// whether it is one that surely leads no more, though its key is there. Else
// something has changed, or may have: look again.
func (l *lead) outlast(ctx context.Context, now scenery) bool {
	r := now.before
	if l.c.predecessor(r.claim) {
		if !l.c.revoke(r.lease) {
			pause(ctx, 50*time.Millisecond)
		}
		return false
	}
	promised := r.claim.Sign > 0 && !now.queued
	wait := l.c.conf.LeaderLease
	if promised {
		wait = time.Until(r.over())
	} else {
		ctx = clientv3.WithRequireLeader(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := l.c.etcd.Watch(ctx, r.key, clientv3.WithRev(now.at+1))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case resp, ok := <-watch:
			if !ok || resp.Err() != nil {
				if !promised {
					pause(ctx, 100*time.Millisecond)
					return false
				}
				watch = nil // the transaction finds what would have been seen
			}
			for _, ev := range resp.Events {
				if ev.Type == clientv3.EventTypeDelete || !promised {
					return false
				}
				r.saw(ev.Kv.Value, ev.Kv.ModRevision, ev.Kv.Version)
				if l.c.recall(r); r.claim.Sign == 0 {
					return false
				}
				timer.Reset(time.Until(r.over()))
			}
		case <-timer.C:
			return promised
		case <-l.session.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// raise takes the lead: one transaction in which the term grows by one, if
// this candidacy stands, nobody else has raised it meanwhile, and whoever stands
// before it has given no newer sign. Otherwise it reports false: look again.
func (l *lead) raise(ctx context.Context, now scenery) (bool, error) {
	ctx, cancel := l.c.bound(ctx)
	defer cancel()
	txn, err := l.raising(now)
	if err != nil {
		return false, err
	}
	l.session.urge()
	if l.asked == (instant{}) {
		l.asked = l.c.now()
	}
	resp, sent, err := l.c.insist(ctx, txn)
	if err != nil {
		return false, fmt.Errorf("raise the term: %w", err) // if it was raised, it stays so: a term without acts
	}
	l.termRev = resp.Header.Revision
	if !resp.Succeeded {
		own, terms := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
		if len(own) == 0 || own[0].CreateRevision != l.rev {
			return false, errRetry
		}
		is, err := termRecord{}, error(nil)
		if len(terms) > 0 {
			is, err = unpack[termRecord](terms[0].Value)
		}
		if err != nil || is.Holder != l.holder {
			return false, nil
		}
		// An earlier try was heard after all.
		l.term, l.ended, l.termRev, sent = is.Term, is.Ended, terms[0].ModRevision, l.asked
	}
	l.since = time.Now()
	l.journal = l.c.openJournal(l)
	if d := l.c.conf.sign(); d > 0 {
		l.session.sign(sent, d)
	}
	if !l.session.hold(ctx) {
		return false, errRetry
	}
	l.open(ctx)
	return true, nil
}

// raising is the transaction that makes this candidate the leader.
func (l *lead) raising(now scenery) (func(context.Context) clientv3.Txn, error) {
	k, was := l.c.keys, now.term
	if l.c.opts.Floor != nil {
		if floor := l.c.opts.Floor(); floor > was.Term {
			l.c.opts.Log.Warn().Uint64("ledger", uint64(was.Term)).Uint64("served", uint64(floor)).
				Msg("the ledger was lost or restored: a higher term was served; the term starts above it")
			was.Term = floor
		}
	}
	l.term, l.ended = was.Term+1, was.Ended
	term, err := repack(now.raw, termRecord{Term: l.term, Holder: l.holder, Name: l.name, Ended: was.Ended})
	if err != nil {
		return nil, err
	}
	sign, err := l.sign(l.c.conf.sign(), 0) // it may be sent several times
	if err != nil {
		return nil, err
	}
	guards := []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(l.key), "=", l.rev), clientv3.Compare(clientv3.ModRevision(k.term()), "=", now.termAt),
		clientv3.Compare(clientv3.CreateRevision(k.restoring()), "=", 0),
	}
	ops := []clientv3.Op{clientv3.OpPut(k.term(), string(term)), clientv3.OpPut(l.key, string(sign), clientv3.WithLease(l.session.lease))}
	if now.before != nil {
		guards = append(guards, clientv3.Compare(clientv3.ModRevision(now.before.key), "=", now.before.rev))
		ops = append(ops, clientv3.OpDelete(now.before.key))
	}
	return func(ctx context.Context) clientv3.Txn {
		return l.c.etcd.Txn(ctx).If(guards...).Then(ops...).
			Else(clientv3.OpGet(l.key, clientv3.WithKeysOnly()), clientv3.OpGet(k.term()))
	}, nil
}

// open reads the ledger as the election left it. The embedded member has made
// that transaction, so it has all that was agreed on before, and whatever an
// earlier leader sends later is refused: it need not ask the others.
func (l *lead) open(ctx context.Context) {
	if l.c.member == nil {
		return
	}
	resp, err := l.c.etcd.Get(ctx, l.c.keys.shards(), clientv3.WithPrefix(), clientv3.WithSerializable())
	if err != nil || resp.Header.Revision < l.termRev {
		return // whoever needs it asks
	}
	l.opening.shards, l.opening.err = l.c.readShards(resp.Kvs)
	l.opening.known = true
}

// keepSigning gives signs of life while this process leads, four times as long
// as one is good for. None waits for the one before it: that may be slow.
func (l *lead) keepSigning() {
	d := l.c.conf.sign()
	if d == 0 {
		return
	}
	l.c.spawn(func() {
		underWay := make(chan struct{}, 4)
		for l.lasts(d / 4) {
			select {
			case underWay <- struct{}{}:
				l.c.spawn(func() { l.signOnce(d); <-underWay })
			default:
			}
		}
	})
}

func (l *lead) signOnce(d time.Duration) {
	sent := l.c.now() // first: what comes between may take long
	value, err := l.sign(d, sent.boot)
	if err != nil || l.c.mute.Load() || !l.Sure() {
		return
	}
	ctx, cancel := context.WithTimeout(l.c.ctx, d)
	defer cancel()
	resp, err := l.c.etcd.Txn(ctx).If(l.guards()...).Then(clientv3.OpPut(l.key, string(value), clientv3.WithLease(l.session.lease))).Commit()
	switch {
	case err != nil:
		l.c.opts.Log.Debug().Err(err).Msg("a sign of life has no reply")
	case !resp.Succeeded:
		l.session.lapse()
	default:
		l.session.sign(sent, d)
	}
}
