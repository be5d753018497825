package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
)

var _ prober.PassSeat = (*PassSeat)(nil)

// ErrTaken says that a daemon votes for the vantage.
var ErrTaken = errors.New("a daemon votes for it")

// PassSeat is a vantage's seat for one pass: it and its votes live for
// Options.Pass after the last Cast, whatever becomes of the process.
type PassSeat struct {
	seat *seat
	was  before
	// fresh: the votes of the pass before live still.
	fresh bool
}

// JoinPass takes the vantage's seat for a pass: from nobody, or from another
// pass, whose writes are refused from then on. It never takes it from a daemon:
// that is ErrTaken.
func (c *Cluster) JoinPass(ctx context.Context, vantage regions.Name) (*PassSeat, error) {
	if err := checkName("vantage", string(vantage)); err != nil {
		return nil, err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	s, was, err := c.take(ctx, vantage, c.opts.Pass)
	switch {
	case err != nil:
		return nil, fmt.Errorf("take the seat of vantage %s: %w", vantage, err)
	case s != nil:
		return &PassSeat{seat: s, was: was, fresh: was.lease != 0}, nil
	case was.claim.Holder != "" && !was.claim.Pass:
		return nil, fmt.Errorf("take the seat of vantage %s: %w (%s)", vantage, ErrTaken, was.claim.Name)
	}
	return nil, fmt.Errorf("take the seat of vantage %s: another pass took it at the same moment", vantage)
}

// Recall implements prober.PassSeat.
func (p *PassSeat) Recall(ctx context.Context) (prober.Memory, error) {
	c, vantage := p.seat.c, p.seat.vantage
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Txn(ctx).Then(
		clientv3.OpGet(c.keys.memories(vantage), clientv3.WithPrefix()),
		clientv3.OpGet(c.keys.clock(vantage))).Commit()
	if err != nil {
		return prober.Memory{}, fmt.Errorf("read what the last pass of %s counted: %w", vantage, err)
	}
	m := prober.Memory{Fresh: p.fresh}
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		part, err := unpack[memory](kv.Value)
		if err != nil {
			return prober.Memory{}, &ValueError{Key: string(kv.Key), Err: err}
		}
		m.Kept = append(m.Kept, part.Kept...)
	}
	// An embedded etcd does not count its leases down while it does not run.
	if clocks := resp.Responses[1].GetResponseRange().Kvs; m.Fresh && c.alone() {
		m.Fresh = len(clocks) > 0 && c.recent(clocks[0].Value)
	}
	return m, nil
}

// recent reports whether a reading is surely not older than a vote lives.
func (c *Cluster) recent(raw []byte) bool {
	then, err := unpack[reading](raw)
	id, now, ok := c.boot()
	return err == nil && ok && then.Boot == id && then.At <= now && now-then.At < c.opts.Pass
}

// alone reports whether etcd runs only while this process does.
func (c *Cluster) alone() bool { return c.member != nil && len(c.conf.Members) < 2 }

// Cast implements prober.PassSeat.
func (p *PassSeat) Cast(ctx context.Context, b regions.Ballot, m prober.Memory) error {
	if err := p.seat.Renew(ctx); err != nil {
		return err
	}
	ops, err := p.remember(m)
	if err != nil {
		return fmt.Errorf("keep what vantage %s counted: %w", p.seat.vantage, err)
	}
	if err := p.write(ctx, ops); err != nil {
		return fmt.Errorf("keep what vantage %s counted: %w", p.seat.vantage, err)
	}
	if err := p.seat.Cast(ctx, b); err != nil {
		return err
	}
	if p.was.lease != 0 {
		p.seat.c.revoke(p.was.lease) // with what this pass has not replaced
	}
	return nil
}

func (p *PassSeat) write(ctx context.Context, ops []clientv3.Op) error {
	ctx, cancel := p.seat.c.bound(ctx)
	defer cancel()
	return p.seat.write(ctx, ops)
}

// remember are the operations that keep what was counted.
func (p *PassSeat) remember(m prober.Memory) ([]clientv3.Op, error) {
	c, vantage := p.seat.c, p.seat.vantage
	var ops []clientv3.Op
	n := 0
	for part := range slices.Chunk(m.Kept, chunkVotes) {
		value, err := pack(memory{Kept: part})
		if err != nil {
			return nil, err
		}
		ops = append(ops, clientv3.OpPut(c.keys.memory(vantage, n), string(value)))
		n++
	}
	ops = append(ops, clientv3.OpDelete(c.keys.memory(vantage, n), clientv3.WithRange(clientv3.GetPrefixRangeEnd(c.keys.memories(vantage)))))
	if id, at, ok := c.boot(); ok && c.alone() {
		value, err := pack(reading{Boot: id, At: at})
		if err != nil {
			return nil, err
		}
		ops = append(ops, clientv3.OpPut(c.keys.clock(vantage), string(value)))
	}
	return ops, nil
}

// memory is a part of what a vantage counted.
type memory struct {
	Kept []prober.Kept `json:"kept"`
}

// maxCount bounds every counter of a track; no threshold comes near it.
const maxCount = 1_000_000

func (m memory) check() error {
	for _, k := range m.Kept {
		if k.Endpoint == "" {
			return errors.New("a count of no endpoint")
		}
		for _, n := range []int{k.Track.Failures, k.Track.Successes, k.Track.Odd, k.Track.Unknowns} {
			if n < 0 || n > maxCount {
				return fmt.Errorf("endpoint %q: counter %d, expected from 0 to %d", k.Endpoint, n, maxCount)
			}
		}
		if !k.RoundTrip.Sound() {
			return fmt.Errorf("endpoint %q has the round trip %+v: expected times up to a minute and counts to go with them", k.Endpoint, k.RoundTrip)
		}
		if k.Track.State != checks.Unknown && k.Track.Was != checks.Unknown {
			return fmt.Errorf("endpoint %q is %s and was %s last: expected the latter of an unknown one only", k.Endpoint, k.Track.State, k.Track.Was)
		}
	}
	return nil
}

// reading is a reading of this machine's clock since its boot.
type reading struct {
	Boot string        `json:"boot"`
	At   time.Duration `json:"at"`
}

func (r reading) check() error {
	if r.Boot == "" || r.At < 0 {
		return errors.New("expected the name of a boot and a time since it")
	}
	return nil
}

// Survey reads all that the decisions depend on, as it is after the call began.
func (c *Cluster) Survey(ctx context.Context) (controller.View, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	sent := time.Now()
	resp, err := c.etcd.Get(ctx, c.keys.world(), clientv3.WithPrefix())
	if err != nil {
		return controller.View{}, fmt.Errorf("read the votes: %w", err)
	}
	w := newWorld(c.keys, c.timeout+time.Minute, c.opts.Log)
	w.reset(resp.Kvs)
	w.proven(sent)
	return w.view(), nil
}
