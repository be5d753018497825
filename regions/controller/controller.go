package controller

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Times of the leader's loop.
const (
	// saveEvery is how often running timers are saved: a change of leader
	// makes a hold longer by at most this and the time without a leader.
	saveEvery = 10 * time.Second
	// commitTimeout bounds one transaction.
	commitTimeout = 5 * time.Second
	// retryFirst and retryMost bound the pause after a failure.
	retryFirst = 200 * time.Millisecond
	retryMost  = 10 * time.Second
	// wallCheck is how often wall-clock facts (expiry, windows) are looked at
	// again at the latest, so that a wall clock that was set is noticed.
	wallCheck = time.Minute
	// resignTimeout bounds the farewell.
	resignTimeout = 2 * time.Second
	// atOnce is how many shards are decided and committed at the same time.
	atOnce = 16
)

// Options are what a controller needs. World, Elector, Ledger and Policy must
// be set; all else may be left zero.
type Options struct {
	// Name is shown as the leader's; Owner names this Veer in fences.
	Name, Owner string
	Policy      steering.Policy
	// Quorums say how votes make a verdict; an endpoint without one takes the
	// majority of Vantages.
	Quorums  map[regions.EndpointID]regions.Quorum
	Vantages []regions.Name
	// Panic says when so much falls at once that it is not believed; its zero
	// value: never. Percent of the services may return within a minute; 0: all.
	Panic   regions.Panic
	Percent int
	// Recovery is what each service's moves are measured against, by name.
	Recovery map[string]Recovery
	// Calendar makes the wall clock's facts; nil: none.
	Calendar func(now time.Time) steering.Calendar
	World    World
	Elector  Elector
	Ledger   Ledger
	// Served returns the newest shards that were served, without their State.
	// Where the ledger has none or an older one, it was lost or restored: the
	// state is made again from the answers, which hold. nil: nothing is known.
	Served func() []steering.Shard
	// Marks, where it is set, remembers which zones may have a write under way;
	// without, a leader claims every zone.
	Marks Marks
	// Providers are written to after each commit and at each reconcile.
	Providers []Written
	// Fence is called with every fence that is read from a zone, from several
	// goroutines, so that the next term can start above what was seen: the
	// ledger may have been lost. nil: nobody wants to know.
	Fence func(providers.Fence)
	// Reconcile says when everything is looked at again although nothing
	// changed; nil: never.
	Reconcile Schedule
	// ConfigHash and Version go into every shard and journal entry.
	ConfigHash, Version string
	Log                 zerolog.Logger
	// Events receives each moved answer, from several goroutines; it must
	// not block.
	Events func(Event)
	// AfterCommit is called after each commit and before anything else is
	// done with the shard.
	AfterCommit func(steering.Shard)
	// Wrote is called with what became of each write of a zone, from several
	// goroutines; it must not block. nil: nobody is told.
	Wrote func(w Written, err error)
	// Decide defaults to steering.Decide, Tally to Quorum.Tally.
	Decide func(steering.Input) steering.Decision
	Tally  func(regions.Quorum, regions.EndpointID, []regions.Vote) regions.Verdict

	changed string // why these are others than before
}

// Schedule gives the next time after now. A cron schedule is one.
type Schedule interface {
	Next(now time.Time) time.Time
}

// Written is one zone of a provider that the controller writes.
type Written struct {
	Name     string // for logs
	Zone     string // absolute
	Provider providers.Provider
	// Takes says which services go to this zone; nil: every name in the zone.
	Takes func(service string) bool
}

// Controller is one candidate: it campaigns, leads while it is elected, and
// campaigns again.
type Controller struct {
	// o are the options that do not change; what Replace replaces is read from
	// current.
	o        Options
	current  atomic.Pointer[Options]
	replaced chan struct{}         // has room for one: current is another one
	reigning atomic.Pointer[reign] // while its writers run
	measured measured
}

// New makes a controller. It does nothing until Run.
func New(o Options) *Controller {
	if o.Decide == nil {
		o.Decide = steering.Decide
	}
	if o.Tally == nil {
		o.Tally = regions.Quorum.Tally
	}
	if o.Calendar == nil {
		o.Calendar = func(time.Time) steering.Calendar { return steering.Calendar{} }
	}
	if o.Events == nil {
		o.Events = func(Event) {}
	}
	if o.Fence == nil {
		o.Fence = func(providers.Fence) {}
	}
	if o.AfterCommit == nil {
		o.AfterCommit = func(steering.Shard) {}
	}
	c := &Controller{o: o, replaced: make(chan struct{}, 1)}
	c.current.Store(&o)
	return c
}

// Run blocks until ctx ends, and then returns nil. Losing an election, the
// ledger or a provider is no error: Run logs it and tries again.
func (c *Controller) Run(ctx context.Context) error {
	pause := retryFirst
	for ctx.Err() == nil {
		lead, err := c.o.Elector.Campaign(ctx, c.o.Name)
		if err != nil {
			if ctx.Err() == nil {
				c.o.Log.Warn().Err(err).Msg("cannot campaign to lead, trying again")
				sleep(ctx, pause)
				pause = min(2*pause, retryMost)
			}
			continue
		}
		c.o.Log.Info().Uint64("term", uint64(lead.Term())).Msg("leading")
		began := time.Now()
		err = c.lead(ctx, lead)
		c.o.Log.Info().Uint64("term", uint64(lead.Term())).AnErr("why", err).Msg("leading no more")
		if time.Since(began) > retryMost {
			pause = retryFirst
		}
		if err != nil || time.Since(began) < time.Second {
			sleep(ctx, pause)
			pause = min(2*pause, retryMost)
		}
	}
	return nil
}

// errDeposed ends a reign whose lease can no longer be sure.
var errDeposed = errors.New("leadership ended")

// lead runs one reign. It returns nil when leadership was lost in the ordinary
// way or ctx ended, and else why this process must not go on leading.
func (c *Controller) lead(ctx context.Context, lead Lead) error {
	err := c.reign(ctx, lead, (*reign).run)
	if ctx.Err() != nil || errors.Is(err, errDeposed) || errors.Is(err, ErrNotLeader) {
		err = nil
	}
	return err
}

// reign does what a leader does while it leads, then resigns. Its error says
// why it ended, where that was not of its own accord.
func (c *Controller) reign(ctx context.Context, lead Lead, do func(*reign, context.Context) error) error {
	during, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lead.Done():
			end(errDeposed)
		case <-stop:
		}
	}()
	err := do(newReign(c, lead, end), during)
	close(stop)
	<-watched
	if cause := context.Cause(during); cause != nil && ctx.Err() == nil {
		err = cause
	}
	c.resign(ctx, lead)
	return err
}

func (c *Controller) resign(ctx context.Context, lead Lead) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTimeout)
	defer cancel()
	if err := lead.Resign(ctx); err != nil {
		c.o.Log.Debug().Err(err).Msg("could not resign; the lease will end by itself")
	}
}

// sleep waits, or less when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// load reads the shards of the ledger, trying again until ctx ends. A shard
// that cannot be read is left alone: it is taken as missing, and no commit can
// replace what exists.
func (r *reign) load(ctx context.Context) error {
	pause := retryFirst
	var known bool
	var stored []Versioned
	var err error
	if o, ok := r.lead.(Opening); ok {
		stored, err, known = o.Opening()
	}
	for {
		if !known {
			stored, err = r.o.Ledger.Shards(ctx)
		}
		if known = false; err == nil || len(stored) > 0 {
			if err != nil {
				r.o.Log.Error().Err(err).Msg("parts of the ledger cannot be read; their answers stay as they are")
			}
			for _, v := range stored {
				if v.ID < 0 || v.ID >= steering.Shards {
					return fmt.Errorf("the ledger holds shard %d: expected 0 to %d; was it written by another version?", v.ID, steering.Shards-1)
				}
				r.adopt(v)
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.o.Log.Warn().Err(err).Msg("cannot read the ledger, trying again")
		sleep(ctx, pause)
		pause = min(2*pause, retryMost)
	}
}
