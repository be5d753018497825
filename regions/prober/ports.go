// Package prober runs a vantage: it probes every endpoint on a jittered
// schedule, turns results into votes by rise and fall, and casts them.
//
// One loop owns the schedule and every track; each probe runs in a goroutine
// of its own, or on an engine that runs many, so that a slow target delays no
// other, and the loop waits for nothing but its own events: seats, votes and
// suspicions are written by goroutines beside it. Only the monotonic clock is read. What is not known is
// said to be unknown, never down: a probe that could not start in time, one
// whose checker did not return, and any during which the process was paused.
package prober

import (
	"context"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// Booth is where vantages vote.
type Booth interface {
	// Join blocks until this process holds the vantage's seat: a second
	// process of the same vantage stands by here until the first one's lease
	// has ended. It returns early only when ctx ends.
	Join(ctx context.Context, vantage regions.Name) (Seat, error)
	// Suspicions returns a channel of the endpoints that other vantages (not
	// this one) suspect anew, closed when ctx ends. Each suspicion comes
	// once; those older than the call do not come.
	Suspicions(ctx context.Context, vantage regions.Name) <-chan []regions.EndpointID
}

// Seat is a vantage's place, held under a lease. Its methods may be called
// concurrently.
type Seat interface {
	// Cast publishes the whole ballot; only what changed is written.
	Cast(ctx context.Context, ballot regions.Ballot) error
	// Suspect publishes the first failing result of endpoints, at once.
	Suspect(ctx context.Context, endpoints []regions.EndpointID) error
	// Renew keeps the seat and its votes fresh. The probing loop itself calls
	// it, so that a loop that hangs loses its votes.
	Renew(ctx context.Context) error
	// Lost is closed when the seat's lease is known to have ended.
	Lost() <-chan struct{}
	// Leave gives the seat and its votes up.
	Leave(ctx context.Context) error
}

// Engine runs probes of many endpoints at once, in one goroutine.
type Engine interface {
	// Run runs the probes that Starters hand over until ctx ends, and drops
	// what is under way then. After an error Starters take no probe, and those
	// that they took have landed.
	Run(ctx context.Context) error
}

// Starter hands probes of one endpoint over to an engine.
type Starter interface {
	// Start begins a probe, as Prober.Probe with a context of the time-out,
	// and reports whether it did: if not, Probe must. Start does not wait.
	// Land is called once, from any goroutine, with the result and the time
	// from Start to the beginning of the probe, within twice the time-out; it does
	// not wait.
	Start(timeout time.Duration, land func(r checks.Result, waited time.Duration)) bool
}

// PassSeat is a vantage's place for one pass of a scheduler. It and its votes
// outlive the process.
type PassSeat interface {
	// Recall returns what the vantage's last pass gave to Cast.
	Recall(ctx context.Context) (Memory, error)
	// Cast publishes the whole ballot and keeps the memory.
	Cast(ctx context.Context, b regions.Ballot, m Memory) error
}

// Memory is what a vantage remembers from pass to pass.
type Memory struct {
	Kept []Kept
	// Fresh: the votes that were cast with it have not run out since.
	Fresh bool
}

// Kept is what is remembered of an endpoint or a reference.
type Kept struct {
	Endpoint regions.EndpointID `json:"endpoint"`
	Track    checks.Track       `json:"track"`
	Round    uint64             `json:"round"`
	// RoundTrip is zero where nobody wants to know.
	RoundTrip checks.RoundTrip `json:"round_trip,omitzero"`
}
