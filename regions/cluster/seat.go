package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
)

const (
	// chunkVotes is how many votes share a key: few enough that one changed
	// vote writes little, enough that 10,000 endpoints are 50 keys.
	chunkVotes = 200
	// maxVotes bounds a ballot.
	maxVotes = 1_000_000
	// maxWhy bounds a reason, in bytes.
	maxWhy = 300
	// txnOps and txnBytes keep a transaction below etcd's limits, 128
	// operations and 1.5 MiB.
	txnOps   = 100
	txnBytes = 512 << 10
)

// errSeatLost is wrapped by every call on a seat that is gone.
var errSeatLost = errors.New("the vantage's seat is lost: its lease has ended")

// seat is a held seat. Writes go one after another, in order; casting holds a
// token for that, so that waiting ends with the caller's context.
type seat struct {
	c       *Cluster
	vantage regions.Name
	lease   clientv3.LeaseID
	rev     int64 // the revision of the seat's key, which is put once a holder
	lost    chan struct{}
	once    sync.Once

	casting chan struct{} // holds one token
	// written is what etcd is known to hold, by chunk; a chunk that is not
	// there is unknown. headDone says that the head is as written.
	written  map[int]chunk
	head     head
	headDone bool
	// revs are the revisions of the head's and the chunks' keys, as far as they
	// are known. A write holds only on these: a write that was given up may yet
	// arrive, and must not undo a later one.
	revs map[string]int64
	// patience is how long one try of a write may take.
	patience time.Duration
	misses   int // how many tries in a row had no reply

	mu sync.Mutex
	// rounds are the endpoints' last cast votes; open the suspicions that no
	// later vote has settled, with the vote that was cast last before.
	rounds map[regions.EndpointID]cast
	open   map[regions.EndpointID]cast
}

// fewMisses is after how many tries without a reply each is given longer: until
// then etcd may elect, and a try must not outlast that for long.
const fewMisses = 6

func newSeat(c *Cluster, vantage regions.Name, lease clientv3.LeaseID, rev int64) *seat {
	s := &seat{
		c: c, vantage: vantage, lease: lease, rev: rev, lost: make(chan struct{}),
		casting: make(chan struct{}, 1), written: map[int]chunk{}, revs: map[string]int64{},
		patience: c.conf.try(),
		rounds:   map[regions.EndpointID]cast{}, open: map[regions.EndpointID]cast{},
	}
	s.casting <- struct{}{}
	return s
}

// Lost implements prober.Seat.
func (s *seat) Lost() <-chan struct{} { return s.lost }

func (s *seat) lose() { s.once.Do(func() { close(s.lost) }) }

// Renew implements prober.Seat.
func (s *seat) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(s.c.timeout, s.c.conf.VoteLease/2))
	defer cancel()
	_, err := s.c.etcd.KeepAliveOnce(ctx, s.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.lose()
		return fmt.Errorf("renew the seat of %s: %w", s.vantage, errSeatLost)
	}
	if err != nil {
		return fmt.Errorf("renew the seat of %s: %w", s.vantage, err)
	}
	return nil
}

// Leave implements prober.Seat.
func (s *seat) Leave(ctx context.Context) error {
	ctx, cancel := s.c.bound(ctx)
	defer cancel()
	_, err := s.c.etcd.Revoke(ctx, s.lease)
	s.lose()
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("leave the seat of %s: %w", s.vantage, err)
	}
	return nil
}

// Suspect implements prober.Seat.
func (s *seat) Suspect(ctx context.Context, endpoints []regions.EndpointID) error {
	ctx, cancel := s.c.bound(ctx)
	defer cancel()
	var ops []clientv3.Op
	s.mu.Lock()
	for _, e := range endpoints {
		was := s.rounds[e]
		s.open[e] = was
		value, err := pack(suspicion{Round: was.Round})
		if err != nil {
			s.mu.Unlock()
			return err
		}
		ops = append(ops, clientv3.OpPut(s.c.keys.suspect(s.vantage, e), string(value), clientv3.WithLease(s.lease)))
	}
	s.mu.Unlock()
	if err := s.write(ctx, ops); err != nil {
		return fmt.Errorf("publish %d suspicions of %s: %w", len(endpoints), s.vantage, err)
	}
	return nil
}

// Cast implements prober.Seat. A chunk is written when a vote's health or
// round trip in it changed, or when a vote settles a suspicion; reasons and rounds travel with
// it. A suspicion is settled by a vote of a higher round, or of another
// health, than the one that was cast last before it.
func (s *seat) Cast(ctx context.Context, b regions.Ballot) error {
	if len(b.Votes) > maxVotes {
		return fmt.Errorf("cast %d votes of %s: at most %d are possible", len(b.Votes), s.vantage, maxVotes)
	}
	ctx, cancel := s.c.bound(ctx)
	defer cancel()
	select {
	case <-s.casting:
		defer func() { s.casting <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("cast the votes of %s: %w", s.vantage, ctx.Err())
	}
	votes := toCast(b.Votes)
	settled := s.settled(votes)
	ops, dirty, err := s.changes(b, votes, settled)
	if err != nil {
		return fmt.Errorf("cast the votes of %s: %w", s.vantage, err)
	}
	for i := range dirty {
		delete(s.written, i) // unknown until the write is known to have held
	}
	if err := s.writeInOrder(ctx, ops); err != nil {
		return fmt.Errorf("cast %d votes of %s: %w", len(b.Votes), s.vantage, err)
	}
	for i, c := range dirty {
		if len(c.Votes) > 0 {
			s.written[i] = c
		}
	}
	s.note(votes, settled)
	return nil
}

// Reconfigured has this process tell another hash of its config from its next
// ballot on. It is safe for concurrent use.
func (c *Cluster) Reconfigured(hash string) { c.config.Store(&hash) }

func (c *Cluster) configHash() string {
	if hash := c.config.Load(); hash != nil {
		return *hash
	}
	return c.opts.Config
}

// toCast sorts the votes by endpoint, the newest of each only, reasons bounded.
func toCast(in []regions.Vote) []cast {
	out := make([]cast, len(in))
	for i, v := range in {
		why := v.Why
		if len(why) > maxWhy {
			why = strings.ToValidUTF8(why[:maxWhy], "")
		}
		out[i] = cast{Endpoint: v.Endpoint, Health: v.Health, Round: v.Round, Why: why, RoundTrip: v.RoundTrip}
	}
	slices.SortStableFunc(out, func(a, b cast) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(b.Round, a.Round))
	})
	return slices.CompactFunc(out, func(a, b cast) bool { return a.Endpoint == b.Endpoint })
}

// settled returns the open suspicions that the votes settle; so does a ballot
// that does not have the endpoint at all.
func (s *seat) settled(votes []cast) map[regions.EndpointID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[regions.EndpointID]bool{}
	for e, was := range s.open {
		i, found := slices.BinarySearchFunc(votes, e, func(v cast, e regions.EndpointID) int { return cmp.Compare(v.Endpoint, e) })
		if !found || votes[i].Round > was.Round || votes[i].Health != was.Health {
			out[e] = true
		}
	}
	return out
}

// changes returns the operations that make etcd hold the ballot, and the
// chunks that they write (empty ones are deleted).
func (s *seat) changes(b regions.Ballot, votes []cast, settled map[regions.EndpointID]bool) ([]clientv3.Op, map[int]chunk, error) {
	var ops []clientv3.Op
	dirty := map[int]chunk{}
	h := head{Suspect: b.Suspect, Why: b.Why, Config: s.c.configHash()}
	if !s.headDone || s.head != h {
		value, err := pack(h)
		if err != nil {
			return nil, nil, err
		}
		ops = append(ops, clientv3.OpPut(s.c.keys.head(s.vantage), string(value), clientv3.WithLease(s.lease)))
	}
	s.head, s.headDone = h, false
	n := 0
	for part := range slices.Chunk(votes, chunkVotes) {
		i := n
		n++
		if old, known := s.written[i]; known && same(old.Votes, part, settled) {
			continue
		}
		c := chunk{Votes: part}
		value, err := s.c.presses.pack(c)
		if err != nil {
			return nil, nil, err
		}
		dirty[i] = c
		ops = append(ops, clientv3.OpPut(s.c.keys.chunk(s.vantage, i), string(value), clientv3.WithLease(s.lease)))
	}
	for i := range s.written {
		if i >= n {
			dirty[i] = chunk{}
			ops = append(ops, clientv3.OpDelete(s.c.keys.chunk(s.vantage, i)))
		}
	}
	for e := range settled {
		ops = append(ops, clientv3.OpDelete(s.c.keys.suspect(s.vantage, e)))
	}
	return ops, dirty, nil
}

// same reports whether what is written says the same as the votes.
func same(written, votes []cast, settled map[regions.EndpointID]bool) bool {
	return slices.EqualFunc(written, votes, func(a, b cast) bool {
		return a.Endpoint == b.Endpoint && a.Health == b.Health && a.RoundTrip == b.RoundTrip && !settled[b.Endpoint]
	})
}

// note remembers what was cast.
func (s *seat) note(votes []cast, settled map[regions.EndpointID]bool) {
	s.headDone = true
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.rounds)
	for _, v := range votes {
		s.rounds[v.Endpoint] = cast{Health: v.Health, Round: v.Round, Endpoint: v.Endpoint}
	}
	for e := range settled {
		delete(s.open, e)
	}
}

// write makes the operations in as few transactions as etcd takes, each
// guarded by the seat.
func (s *seat) write(ctx context.Context, ops []clientv3.Op) error {
	for len(ops) > 0 {
		n := fitting(ops)
		resp, err := s.c.etcd.Txn(ctx).If(s.guard()).Then(ops[:n]...).Commit()
		if errors.Is(err, rpctypes.ErrLeaseNotFound) || err == nil && !resp.Succeeded {
			s.lose()
			return errSeatLost
		}
		if err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

// guard holds while the seat is this one.
func (s *seat) guard() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(s.c.keys.seat(s.vantage)), "=", s.rev)
}

// fitting is how many of the operations fit into one transaction.
func fitting(ops []clientv3.Op) (n int) {
	for size := 0; n < len(ops) && n < txnOps && (n == 0 || size+len(ops[n].ValueBytes()) <= txnBytes); n++ {
		size += len(ops[n].ValueBytes())
	}
	return n
}

// writeInOrder is write, where each operation on the ballot also holds only on
// the revision of its key that is known. Where an earlier write has arrived
// late, the revisions are read and the operations made on those: they are
// newer than any that is still under way. It is called with the token.
//
// What a member has handed to a leader of etcd that died is lost, and nobody
// tells: a try that takes long is made again, and each time it is given longer,
// should etcd be slow.
func (s *seat) writeInOrder(ctx context.Context, ops []clientv3.Op) error {
	ballot := s.c.keys.ballot(s.vantage)
	for len(ops) > 0 {
		n := fitting(ops)
		guards := []clientv3.Cmp{s.guard()}
		for _, op := range ops[:n] {
			if key := string(op.KeyBytes()); strings.HasPrefix(key, ballot) {
				guards = append(guards, clientv3.Compare(clientv3.ModRevision(key), "=", s.revs[key]))
			}
		}
		try, cancel := s.c.attempt(ctx, s.patience)
		resp, err := s.c.etcd.Txn(try).If(guards...).Then(ops[:n]...).
			Else(clientv3.OpGet(s.c.keys.seat(s.vantage)), clientv3.OpGet(ballot, clientv3.WithPrefix(), clientv3.WithKeysOnly())).Commit()
		over := err != nil && try.Err() != nil && ctx.Err() == nil
		cancel()
		if over { // it may be lost, and is not agreed on twice: try again
			if s.misses++; s.misses > fewMisses { // more than an election takes
				s.patience = min(s.patience*3/2, s.c.conf.VoteLease)
			}
			continue
		}
		s.patience, s.misses = max(s.patience*2/3, s.c.conf.try()), 0
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			s.lose()
			return errSeatLost
		case err != nil:
			return err
		case resp.Succeeded:
			s.noteRevs(ops[:n], resp.Header.Revision)
			ops = ops[n:]
			continue
		}
		own := resp.Responses[0].GetResponseRange().Kvs
		if len(own) == 0 || own[0].ModRevision != s.rev {
			s.lose()
			return errSeatLost
		}
		clear(s.revs)
		for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
			s.revs[string(kv.Key)] = kv.ModRevision
		}
	}
	return nil
}

// noteRevs remembers what the keys have since a write.
func (s *seat) noteRevs(ops []clientv3.Op, rev int64) {
	for _, op := range ops {
		if op.IsPut() {
			s.revs[string(op.KeyBytes())] = rev
		} else {
			delete(s.revs, string(op.KeyBytes()))
		}
	}
}
