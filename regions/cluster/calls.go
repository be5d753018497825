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
	"github.com/veerdns/veer/regions/steering"
)

// The bounds of what is called in.
const (
	// spreadCalls is how many call-ins one value holds.
	spreadCalls = 2000
	// maxStatements bounds what a hook says at a time.
	maxStatements = 1000
	// maxIDs bounds the messages of a hook with the same number.
	maxIDs = 64
	// CallsHeard bounds the time from a write of call-ins until a process knows
	// that it has heard all of them, while etcd answers: the proof of a watch
	// (see follower) and a second for the way.
	CallsHeard = 3 * time.Second
)

var (
	// ErrReplayed means that a message of a hook was taken before, or that a
	// later one was.
	ErrReplayed = errors.New("a message with this number, or a later one, was taken before")
	// ErrHookFull means that a hook says more than there is room for.
	ErrHookFull = fmt.Errorf("a hook may say %d things at a time, and take %d messages with one number", maxStatements, maxIDs)
)

// Ear hears what is called in, in order. Its methods must not wait for
// anything, nor call the Cluster.
type Ear interface {
	// Calls hears call-ins of endpoints; those of before the process listened
	// are not told.
	Calls([]Call)
	// Hook hears all that a hook says as of its n-th message. Listed: this was
	// not heard when it was said, but found there.
	Hook(name string, n uint64, said []Statement, listed bool)
}

// Call is a call-in of an endpoint.
type Call struct {
	Endpoint regions.EndpointID `json:"endpoint"`
	Health   checks.Health      `json:"health"`
	Why      string             `json:"why,omitempty"`
}

// calls are call-ins that are told together. Their key is put anew each time: it
// is the event that is heard, and what stays in etcd is one value a process.
type calls struct {
	Calls []Call `json:"calls"`
}

func (c calls) check() error {
	if len(c.Calls) > spreadCalls {
		return fmt.Errorf("%d call-ins: expected at most %d", len(c.Calls), spreadCalls)
	}
	for _, one := range c.Calls {
		if one.Endpoint == "" || one.Health == checks.Unknown || len(one.Why) > maxWhy {
			return fmt.Errorf("a call-in of %q that says %s in %d bytes: expected an endpoint, up, degraded or down, and at most %d bytes", one.Endpoint, one.Health, len(one.Why), maxWhy)
		}
	}
	return nil
}

// Spread tells every process what was called in here, in as few writes as there
// is room for.
func (c *Cluster) Spread(ctx context.Context, all []Call) error {
	if err := checkName("name", c.opts.Name); err != nil {
		return fmt.Errorf("spread call-ins: %w", err)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	for part := range slices.Chunk(all, spreadCalls) {
		value, err := c.presses.pack(calls{part})
		if err != nil {
			return fmt.Errorf("spread call-ins: %w", err)
		}
		if _, err := c.etcd.Put(ctx, c.keys.call(c.opts.Name), string(value)); err != nil {
			return fmt.Errorf("spread %d call-ins: %w", len(part), err)
		}
	}
	return nil
}

// Statement is what a hook says of a service, a region or an address.
type Statement struct {
	// Key tells it from the hook's other statements.
	Key    string          `json:"key"`
	Target steering.Target `json:"target"`
	// Health is what it says; in a Message, Unknown takes it back.
	Health checks.Health `json:"health"`
	Why    string        `json:"why,omitempty"`
	// N is the message that said it last.
	N uint64 `json:"n"`
}

// Message is one of a hook.
type Message struct {
	Said []Statement
	// Drop are statements that do not count any more: the N of each, by its key.
	// One that was said again meanwhile stays.
	Drop map[string]uint64
	// Number must not be below that of any earlier message of the same Secret,
	// and ID another one than those with the same number; without an ID it is
	// not asked. Secret is a name of the secret, by which the sender was known,
	// that does not tell it.
	Number     int64
	ID, Secret string
}

// spoken is all that a hook says, and what must be known to refuse a message
// that comes again.
type spoken struct {
	N      uint64      `json:"n"`
	Said   []Statement `json:"said,omitempty"`
	Number int64       `json:"number,omitempty"`
	IDs    []string    `json:"ids,omitempty"`
	Secret string      `json:"secret,omitempty"`
}

func (s spoken) check() error {
	if len(s.Said) > maxStatements || len(s.IDs) > maxIDs {
		return ErrHookFull
	}
	seen := make(map[string]bool, len(s.Said))
	for _, one := range s.Said {
		switch {
		case one.Key == "" || len(one.Key) > maxWhy || seen[one.Key]:
			return fmt.Errorf("statement %q: expected a key, once", one.Key)
		case one.Health == checks.Unknown || len(one.Why) > maxWhy || one.Target == (steering.Target{}):
			return fmt.Errorf("statement %q of %v says %s in %d bytes: expected a target, up, degraded or down, and at most %d bytes", one.Key, one.Target, one.Health, len(one.Why), maxWhy)
		}
		seen[one.Key] = true
	}
	return nil
}

// take returns what is so after a message, and the statements that are new or
// said again have its number.
func (s spoken) take(m Message) (spoken, error) {
	if m.ID != "" {
		switch {
		case m.Secret != s.Secret || m.Number > s.Number:
			s.Secret, s.Number, s.IDs = m.Secret, m.Number, nil
		case m.Number < s.Number || slices.Contains(s.IDs, m.ID):
			return s, ErrReplayed
		}
		s.IDs = append(slices.Clone(s.IDs), m.ID)
	}
	s.N++
	said := slices.DeleteFunc(slices.Clone(s.Said), func(is Statement) bool {
		n, drop := m.Drop[is.Key]
		return drop && n == is.N || slices.ContainsFunc(m.Said, func(one Statement) bool { return one.Key == is.Key })
	})
	for _, one := range m.Said {
		if one.Health != checks.Unknown {
			one.N = s.N
			said = append(said, one)
		}
	}
	s.Said = said
	return s, s.check()
}

// Tell takes a message of a hook into the ledger: in one transaction with the
// proof that it was not taken before.
func (c *Cluster) Tell(ctx context.Context, hook string, m Message) error {
	if err := checkName("hook", hook); err != nil {
		return err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	key := c.keys.hook(hook)
	for {
		resp, err := c.etcd.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read what hook %s says: %w", hook, err)
		}
		var was spoken
		at := int64(0)
		if len(resp.Kvs) > 0 {
			at = resp.Kvs[0].ModRevision
			if was, err = unpack[spoken](resp.Kvs[0].Value); err != nil {
				return fmt.Errorf("tell what hook %s says: %w", hook, &ValueError{Key: key, Err: err})
			}
		}
		is, err := was.take(m)
		if err != nil {
			return fmt.Errorf("tell what hook %s says: %w", hook, err)
		}
		value, err := c.presses.pack(is)
		if err != nil {
			return fmt.Errorf("tell what hook %s says: %w", hook, err)
		}
		done, err := c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", at)).Then(clientv3.OpPut(key, string(value))).Commit()
		if err != nil {
			return fmt.Errorf("tell what hook %s says: %w", hook, err)
		}
		if done.Succeeded { // else another region told something meanwhile
			return nil
		}
	}
}

// Hearing returns the newest time at which this process had heard all that was
// in etcd, and since when it has missed nothing, on the monotonic clock; zero:
// it has heard nothing yet. asOf counts as now for as long as a vote lease.
func (c *Cluster) Hearing() (asOf, since time.Time, lease time.Duration) {
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asOf, w.since, w.lease
}
