package providers

import (
	"context"
	"time"
)

// What some providers can do besides. Each is found by a type assertion; each
// method is as safe for concurrent use as the Provider.

// Prover can show that a zone keeps a stale write out.
type Prover interface {
	// Prove swaps a scratch record, sends the same request again, and returns
	// nil when that was refused and changed nothing, ErrUnproven when it was
	// not. It leaves nothing behind. Apply does it by itself before its first
	// write to a zone.
	Prove(ctx context.Context, zone string) error
}

// Keeper marks names as owned by records of their own.
type Keeper interface {
	// Own takes and releases names, and swaps the fence as Apply does. No
	// answer changes. Taking a name that another Veer owns is refused with
	// ErrConflict, and so is releasing what is not owned.
	Own(ctx context.Context, from Snapshot, next Fence, take, release []string) (Receipt, error)
}

// Follower can tell when a change is on all name servers.
type Follower interface {
	// Follow waits for it, and returns how long it took since the request was
	// accepted.
	Follow(ctx context.Context, r Receipt) (time.Duration, error)
}

// Estimator can tell what an Apply would cost.
type Estimator interface {
	// Estimate returns an error where the changes could never be applied, such
	// as a name whose records are too many for one request.
	Estimate(from Snapshot, changes []Change) (Estimate, error)
}

// Estimate is the cost of an Apply, without the proof of the swap.
type Estimate struct {
	// Calls is the number of requests that write.
	Calls int `json:"calls"`
	// Quota says in words what they cost of which limit.
	Quota string `json:"quota,omitempty"`
}
