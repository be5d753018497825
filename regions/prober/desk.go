package prober

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// desk is what lies between the loop and the seat: the loop puts votes and
// suspicions on it and never waits, others carry them away.
type desk struct {
	mu       sync.Mutex
	ballot   regions.Ballot
	version  uint64 // grows with every change of the ballot
	suspects []regions.EndpointID
	chair    *chair // nil: standing by

	cast uint64        // the newest version that was published
	told chan struct{} // closed and replaced when cast changes

	voted     chan struct{} // has room for one: the ballot changed
	suspected chan struct{} // has room for one: suspects came
}

// chair is a seat that is held.
type chair struct {
	seat     Seat
	renewing atomic.Bool
}

// newDesk starts with every vote unknown.
func newDesk(vantage regions.Name, jobs []*job) *desk {
	d := &desk{version: 1, told: make(chan struct{}), voted: make(chan struct{}, 1), suspected: make(chan struct{}, 1)}
	d.ballot = regions.Ballot{Vantage: vantage, Votes: make([]regions.Vote, len(jobs))}
	for i, j := range jobs {
		d.ballot.Votes[i] = unprobed(vantage, j)
	}
	return d
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

func (d *desk) vote(index int, v regions.Vote) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ballot.Votes[index] = v
	d.version++
	ring(d.voted)
}

// doubt sets whether the vantage doubts itself; the reason stays as it was
// when that began.
func (d *desk) doubt(suspect bool, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ballot.Suspect == suspect {
		return
	}
	d.ballot.Suspect, d.ballot.Why = suspect, ""
	if suspect {
		d.ballot.Why = why
	}
	d.version++
	ring(d.voted)
}

// newest returns a copy of the ballot and its version.
func (d *desk) newest() (regions.Ballot, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.ballot
	b.Votes = slices.Clone(b.Votes)
	return b, d.version
}

// changed reports whether the ballot is no longer of the version.
func (d *desk) changed(version uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.version != version
}

// published notes that the version was.
func (d *desk) published(version uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cast = version
	close(d.told)
	d.told = make(chan struct{})
}

// awaitCast waits until everything that is on the desk now was published.
func (d *desk) awaitCast(ctx context.Context) error {
	_, version := d.newest()
	for {
		d.mu.Lock()
		done, seated, told := d.cast >= version, d.chair != nil, d.told
		d.mu.Unlock()
		switch {
		case !seated:
			return errStandingBy
		case done:
			return nil
		}
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// suspect puts a suspicion on the desk; without a seat it is nobody's.
func (d *desk) suspect(id regions.EndpointID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.chair == nil {
		return
	}
	d.suspects = append(d.suspects, id)
	ring(d.suspected)
}

// takeSuspects empties the desk of suspicions.
func (d *desk) takeSuspects() []regions.EndpointID {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := d.suspects
	d.suspects = nil
	return ids
}

// sit gives the loop a seat to renew, nil takes it away.
func (d *desk) sit(seat Seat) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chair, d.suspects, d.cast = nil, nil, 0
	if seat != nil {
		d.chair = &chair{seat: seat}
	}
}

// renew renews the seat, if there is one, unless the last renewal still runs.
// Only the loop calls it, so that votes outlive the loop by no more than a
// lease. It does not wait.
func (d *desk) renew(ctx context.Context, wg *sync.WaitGroup, period time.Duration, log zerolog.Logger) {
	d.mu.Lock()
	c := d.chair
	d.mu.Unlock()
	if c == nil || !c.renewing.CompareAndSwap(false, true) {
		return
	}
	wg.Go(func() {
		defer c.renewing.Store(false)
		ctx, cancel := context.WithTimeout(ctx, 3*period)
		defer cancel()
		if err := c.seat.Renew(ctx); err != nil && ctx.Err() != context.Canceled {
			log.Warn().Err(err).Msg("the seat could not be renewed")
		}
	})
}

// doubt counts the references that are down.
type doubt struct{ down, of int }

func (d *doubt) count(was, is checks.Health) {
	if was == checks.Down {
		d.down--
	}
	if is == checks.Down {
		d.down++
	}
}

// most reports whether more than half of the references are down.
func (d doubt) most() bool { return 2*d.down > d.of }

func (d doubt) why(reason string) string {
	return shorten(fmt.Sprintf("%d of %d references are down, the last one: %s", d.down, d.of, reason))
}
