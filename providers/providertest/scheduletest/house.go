package scheduletest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// orders is the controllers' World: what is to be decided of each service is
// the number in an override of it.
type orders struct {
	mu      sync.Mutex
	numbers map[string]uint64
	changed chan struct{}
}

func newOrders() *orders {
	return &orders{numbers: map[string]uint64{}, changed: make(chan struct{})}
}

func (o *orders) set(service string, number uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.numbers[service] = number
	close(o.changed)
	o.changed = make(chan struct{})
}

// View implements controller.World.
func (o *orders) View() controller.View {
	o.mu.Lock()
	defer o.mu.Unlock()
	var v controller.View
	for service, number := range o.numbers {
		v.Overrides = append(v.Overrides, controller.Order{Override: steering.Override{
			ID: service, Act: steering.Force, Target: steering.Target{Service: service}, By: fmt.Sprint(number),
		}})
	}
	return v
}

// Changed implements controller.World.
func (o *orders) Changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.changed
}

// ledger is a controller.Ledger in memory. Whoever leads it last can commit;
// to the one before it is away, so that it goes on believing that it leads.
type ledger struct {
	lineage string
	mu      sync.Mutex
	leader  string // a holder
	shards  map[int]controller.Versioned
	rev     controller.Revision
	// lose is asked for each commit whether its reply is lost.
	lose func() bool
}

var errAway = errors.New("etcd is away")

// Shards implements controller.Ledger.
func (l *ledger) Shards(context.Context) ([]controller.Versioned, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []controller.Versioned
	for _, v := range l.shards {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b controller.Versioned) int { return a.ID - b.ID })
	return out, nil
}

// Commit implements controller.Ledger.
func (l *ledger) Commit(_ context.Context, lead controller.Lead, from controller.Revision, s steering.Shard, _ *steering.Entry) (controller.Revision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lead.Holder() != l.leader {
		return 0, errAway
	}
	if l.shards[s.ID].At != from {
		return 0, controller.ErrMoved
	}
	l.rev++
	l.shards[s.ID] = controller.Versioned{Shard: s, At: l.rev}
	if l.lose() {
		return 0, errAway
	}
	return l.rev, nil
}

// RemoveOrder implements controller.Ledger.
func (l *ledger) RemoveOrder(context.Context, controller.Lead, string) error { return nil }

// lead makes the holder the leader.
func (l *ledger) lead(holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader = holder
}

// answers are the last ones committed, by service.
func (l *ledger) answers() map[string][]providers.RRSet {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string][]providers.RRSet{}
	for _, v := range l.shards {
		for _, a := range v.Answers {
			out[a.Name] = append(out[a.Name], a.RRSet)
		}
	}
	return out
}

// decide is steering.Decide for services whose answer is their override's
// number.
func (l *ledger) decide(in steering.Input) steering.Decision {
	var d steering.Decision
	d.Next.Clock = in.Now
	for _, s := range in.Policy.Services {
		var number uint64
		for _, o := range in.Overrides {
			if o.Target.Service == s.Name {
				number, _ = strconv.ParseUint(o.By, 10, 64)
			}
		}
		sets := answer(s.Name, decision{l.lineage, number})
		d.Next.Services = append(d.Next.Services, steering.ServiceState{Name: s.Name, Answer: sets, MinTTL: 60})
		for _, set := range sets {
			d.Answers = append(d.Answers, steering.Answer{RRSet: set, MinTTL: 60})
		}
	}
	return d
}

// contender is one controller.
type contender struct {
	name, holder string
	term         regions.Term
	ledger       *ledger
	net          *network
	client       providers.Provider
	elected      chan struct{} // closed when it is elected
	deposed      chan struct{} // closed when it gave its lead up
	once         sync.Once
	since        time.Time
}

// Campaign implements controller.Elector: it wins once.
func (c *contender) Campaign(ctx context.Context, _ string) (controller.Lead, error) {
	select {
	case <-c.deposed:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.elected:
	}
	c.since = time.Now()
	c.ledger.lead(c.holder)
	return c, nil
}

// Term implements controller.Lead, and so do the methods below.
func (c *contender) Term() regions.Term { return c.term }

// Holder implements controller.Lead.
func (c *contender) Holder() string { return c.holder }

// Since implements controller.Lead.
func (c *contender) Since() time.Time { return c.since }

// Done implements controller.Lead: it never hears that another leads.
func (c *contender) Done() <-chan struct{} { return nil }

// Sure implements controller.Lead: it never doubts either.
func (c *contender) Sure() bool { return true }

// Resign implements controller.Lead.
func (c *contender) Resign(context.Context) error {
	c.once.Do(func() { close(c.deposed) })
	return nil
}

func (c *contender) leads() bool {
	select {
	case <-c.deposed:
		return false
	default:
	}
	select {
	case <-c.elected:
		return true
	default:
		return false
	}
}

// every is a controller.Schedule.
type every time.Duration

// Next implements controller.Schedule.
func (e every) Next(now time.Time) time.Time { return now.Add(time.Duration(e)) }
