// Package controller is the leader's loop: decide, commit, apply.
package controller

import (
	"context"
	"errors"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// View is what etcd holds at one moment, as far as this process has heard.
type View struct {
	// Ballots hold the fresh votes: those whose lease lives.
	Ballots []regions.Ballot
	// Suspects are endpoints that a vantage suspects and has not voted on since.
	Suspects []regions.EndpointID
	// Overrides are in the ledger, expired ones included.
	Overrides []Order
}

// Order is an override as the ledger keeps it: with the wall-clock time at
// which it ends (zero: never).
type Order struct {
	steering.Override
	Until time.Time `json:"until,omitzero"`
	// Made is when it was given, for people.
	Made time.Time `json:"made,omitzero"`
}

// World watches what the decisions depend on.
type World interface {
	// View returns a copy of what is known now.
	View() View
	// Changed returns a channel that is closed at the next change of View
	// after the call.
	Changed() <-chan struct{}
}

// Lead is a won election.
type Lead interface {
	Term() regions.Term
	// Holder is random per election.
	Holder() string
	// Since is the leader's first instant; decisions count from it.
	Since() time.Time
	// Done is closed when leadership can no longer be sure, before the lease
	// can have run out, on the monotonic clock.
	Done() <-chan struct{}
	// Sure reports whether leadership is sure at this very moment. It reads the
	// clock, for after a pause of the process Done is closed late; once it has
	// said no it always does.
	Sure() bool
	// Resign gives it up, so that another can lead at once.
	Resign(ctx context.Context) error
}

// Opening is a Lead that may know the ledger already.
type Opening interface {
	// Opening returns what Ledger.Shards would have when the election was won;
	// no earlier leader has committed since, nor can. known is false where it
	// must be asked for.
	Opening() (shards []Versioned, err error, known bool)
}

// Elector makes leaders.
type Elector interface {
	// Campaign blocks until this process leads or ctx ends. The returned
	// Lead's term was raised in the transaction that made it leader.
	Campaign(ctx context.Context, name string) (Lead, error)
}

// Ledger keeps the agreed state.
type Ledger interface {
	// Shards returns every shard that exists, sorted by ID, each with the
	// revision to commit on.
	Shards(ctx context.Context) ([]Versioned, error)
	// Commit writes the shard and its journal entry (nil: a timer was saved,
	// nothing was decided) in one transaction that holds only if lead still
	// leads and the shard still is at from (0: does not exist), and returns
	// the new revision. ErrNotLeader and ErrMoved tell the failures apart.
	Commit(ctx context.Context, lead Lead, from Revision, shard steering.Shard, entry *steering.Entry) (Revision, error)
	// RemoveOrder deletes an override that has expired, if lead still leads.
	RemoveOrder(ctx context.Context, lead Lead, id string) error
}

// Revision is the ledger's own version of a shard; 0 does not exist.
type Revision int64

// Versioned is a shard and its revision.
type Versioned struct {
	steering.Shard
	At Revision
}

// Errors of Commit.
var (
	ErrNotLeader = errors.New("not the leader any more")
	ErrMoved     = errors.New("the shard was changed by another")
)

// Interlude measures the time between the passes of a scheduler, in which no
// process runs the timers.
type Interlude interface {
	// Resume returns a time that surely went by since the term before paused
	// with the timers as the ledger has them, and during which the votes of
	// then surely lived; 0 where nothing is known of it, or that term did not
	// pause.
	Resume(ctx context.Context, lead Lead) (time.Duration, error)
	// Pause says that the timers in the ledger are as of now. With again they
	// are as the term before left them: nothing was committed in this one.
	Pause(ctx context.Context, lead Lead, again bool) error
}

// ZoneID names a zone of a provider.
type ZoneID struct {
	Provider string `json:"provider"`
	Zone     string `json:"zone"`
}

// Marks remember beyond a term in which zones a write may be under way: marked
// before a write, unmarked when its outcome is known. A leader claims a zone
// that is marked before it reads it (DESIGN, "Fence"); in one that is not,
// there is nothing that a claim could keep out, since only a leader can mark.
type Marks interface {
	Marked(ctx context.Context) ([]ZoneID, error)
	Mark(ctx context.Context, lead Lead, z ZoneID) error
	Unmark(ctx context.Context, lead Lead, z ZoneID) error
}
