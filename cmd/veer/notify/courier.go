package notify

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Times of a courier.
const (
	retryFirst = time.Second
	retryMost  = 5 * time.Minute
	// giveUp is how long a message is tried: what is older tells nobody what to
	// do.
	giveUp = 24 * time.Hour
)

// The outcomes of a try, for metrics.
const (
	Sent    = "sent"
	Failed  = "failed"  // it is tried again
	Dropped = "dropped" // it is not
)

// Courier brings what a desk has for its receivers. Each has a goroutine, so
// that none waits for another; the messages of one come to it in order. Its
// methods are safe for concurrent use.
type Courier struct {
	senders map[string]Sender
	queues  map[string]int
	log     zerolog.Logger
	count   func(receiver, outcome string)

	mu   sync.Mutex // guards desk
	desk *Desk
	news map[string]chan struct{}
	done chan struct{} // holds one: a parcel was brought or dropped
}

// CourierOptions are what a Courier needs.
type CourierOptions struct {
	Senders map[string]Sender
	// Queues is how many messages wait for each receiver at most.
	Queues map[string]int
	Log    zerolog.Logger
	// Count is told of each outcome, from several goroutines; it must not block.
	Count func(receiver, outcome string)
}

// NewCourier makes a courier of a desk, which from then on is used in Do only.
func NewCourier(d *Desk, o CourierOptions) *Courier {
	c := &Courier{senders: o.Senders, queues: o.Queues, log: o.Log, count: o.Count, desk: d, news: map[string]chan struct{}{}, done: make(chan struct{}, 1)}
	for name := range o.Senders {
		c.news[name] = make(chan struct{}, 1)
	}
	return c
}

// Do lets f use the desk, then wakes those who have something to bring.
func (c *Courier) Do(f func(*Desk)) {
	c.mu.Lock()
	f(c.desk)
	c.bound()
	c.mu.Unlock()
	for _, news := range c.news {
		wake(news)
	}
}

// Done is told, once for any number, when a parcel was brought or dropped.
func (c *Courier) Done() <-chan struct{} { return c.done }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake
	}
}

// bound drops a receiver's oldest messages where too many wait.
func (c *Courier) bound() {
	for name, most := range c.queues {
		waiting := 0
		for _, p := range slices.Backward(c.desk.s.Parcels) {
			if !slices.Contains(p.To, name) {
				continue
			}
			if waiting++; waiting > most {
				p.drop(name)
				c.dropped(Drop{name, p.Message, "too many messages wait for this receiver"})
			}
		}
	}
	c.sweep()
}

// Drop counts and logs messages that nobody will bring.
func (c *Courier) Drop(drops []Drop) {
	for _, d := range drops {
		c.dropped(d)
	}
}

func (c *Courier) dropped(d Drop) {
	c.count(d.Receiver, Dropped)
	c.log.Error().Str("receiver", d.Receiver).Str("id", d.Message.ID).Str("event", string(d.Message.Event)).Str("summary", d.Message.Summary).
		Str("why", d.Why).Msg("a notification was dropped")
}

func (p *Parcel) drop(name string) {
	p.To = slices.DeleteFunc(p.To, func(r string) bool { return r == name })
}

// sweep removes what everybody has.
func (c *Courier) sweep() {
	c.desk.s.Parcels = slices.DeleteFunc(c.desk.s.Parcels, func(p *Parcel) bool { return len(p.To) == 0 })
}

// Run brings parcels until ctx ends, and waits for its goroutines.
func (c *Courier) Run(ctx context.Context) {
	var all sync.WaitGroup
	for name, sender := range c.senders {
		all.Go(func() { c.serve(ctx, name, sender) })
	}
	all.Wait()
}

// serve brings one receiver its parcels, the oldest first.
func (c *Courier) serve(ctx context.Context, name string, s Sender) {
	tries, wait := 0, retryFirst
	last := ""
	for {
		m, ok := c.first(name)
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-c.news[name]:
			}
			continue
		}
		if m.ID != last {
			last, tries, wait = m.ID, 0, retryFirst
		}
		err := s.Send(ctx, m)
		if err != nil && ctx.Err() != nil {
			return // whether it was taken is not known: the next leader brings it again
		}
		tries++
		again, failed := c.outcome(name, m, err, tries, wait)
		if !failed {
			continue
		}
		wait = min(2*wait, retryMost)
		if !sleep(ctx, again) {
			return
		}
	}
}

// outcome notes how a try ended, and returns when to try again, if at all.
func (c *Courier) outcome(name string, m Message, err error, tries int, wait time.Duration) (time.Duration, bool) {
	if err == nil {
		c.count(name, Sent)
		c.log.Info().Str("receiver", name).Str("id", m.ID).Str("event", string(m.Event)).Str("phase", string(m.Phase)).Int("tries", tries).Msg("notified")
		c.remove(name, m.ID)
		return 0, false
	}
	var f *Failure
	final := errors.As(err, &f) && f.Final
	if final || time.Since(m.Time) > giveUp {
		c.remove(name, m.ID)
		c.dropped(Drop{name, m, err.Error()})
		return 0, false
	}
	c.count(name, Failed)
	again := wait/2 + rand.N(wait) // #nosec G404 -- it spreads tries, it guards nothing
	if f != nil {
		again = max(again, f.After)
	}
	line := c.log.Warn()
	if tries > 1 {
		line = c.log.Debug()
	}
	line.Str("receiver", name).Str("id", m.ID).Str("event", string(m.Event)).Str("why", err.Error()).Dur("again_in_ms", again).Msg("a notification was not taken, trying again")
	return again, true
}

// first is the oldest message for a receiver that the ledger has.
func (c *Courier) first(name string) (Message, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.desk.s.Parcels {
		if p.kept && slices.Contains(p.To, name) {
			return p.Message, true
		}
	}
	return Message{}, false
}

func (c *Courier) remove(name, id string) {
	c.mu.Lock()
	for _, p := range c.desk.s.Parcels {
		if p.Message.ID == id {
			p.drop(name)
		}
	}
	c.sweep()
	c.mu.Unlock()
	wake(c.done)
}

// Waiting is how many messages each receiver has not got.
func (c *Courier) Waiting() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.senders))
	for name := range c.senders {
		out[name] = 0
	}
	for _, p := range c.desk.s.Parcels {
		for _, r := range p.To {
			out[r]++
		}
	}
	return out
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
