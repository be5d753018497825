// Package fenced makes a providers.Provider of a zone's API that can replace
// one record on the condition that it is still what it was, together with
// other changes, all or none.
//
// It keeps what all such providers have in common: which names are owned (TXT
// beside each), the fence (one TXT for the zone and owner, swapped by every
// write), the order of reading (fence, records, fence), what is refused before
// anything is sent, how much fits in a request, how a lost reply is settled,
// and the proof, before the first write to a zone, that a stale write is kept
// out. An adapter brings API, and returns a Provider that holds one of New's.
//
// Writes to one zone go one at a time. All is safe for concurrent use.
package fenced

import (
	"context"
	"errors"

	"github.com/veerdns/veer/providers"
)

// API is a zone's API as an adapter offers it. Names are canonical, zones are
// those of the config.
type API interface {
	Caps() providers.Caps
	// List returns every set of the zone, of every type, all pages of it.
	List(ctx context.Context, zone string) ([]Record, error)
	// Find returns the sets of one type at one name, as cheaply as it can.
	Find(ctx context.Context, zone, name, typ string) ([]Record, error)
	// Swap does r in one request, all or none. It returns ErrRefused when the
	// zone was not as r expects, a *providers.BusyError or an error that wraps
	// ErrNothing when surely nothing was written, and after any other error
	// the request may have been done, or may yet be. It never sends again by
	// itself what may have been, and makes its HTTP client not do so.
	Swap(ctx context.Context, zone string, r Request) (Reply, error)
	// Size is what the step costs of Limit.
	Size(s Step) Size
	// Limit bounds one request; a zero field is no bound.
	Limit() Size
	// Quota says in words what so many writing requests cost of which limit.
	Quota(calls int) string
}

// Claimer is an API whose requests cannot insist that a name has no records. A
// name is then claimed, by a TXT where its owner's is to stand, in a request of
// its own, and looked at again before anything is written there: what stood
// there before the claim is foreign and stays, what comes after it is an edit of
// a name that Veer owns. A claim owns nothing, so that a crash in between hands
// nobody's record to Veer; the next write uses it or takes it away (ADR 9).
type Claimer interface{ ClaimsFirst() bool }

// Record is a set as the API has it.
type Record struct {
	providers.RRSet
	// Handle is the adapter's own: ids, and the attributes that a change keeps.
	// fenced carries it from a List or Find to a Step's Before.
	Handle any
	// Foreign says whose the set is where Veer could not write it as it is,
	// such as "whoever made its latency record": nothing at its name is touched.
	Foreign string
}

// Step is one step of a request: a nil Before creates what must not exist, a
// nil After deletes, both replace. Before is as List or Find returned it. An
// After's Handle is nil: what Before had and Veer does not set is kept.
type Step struct{ Before, After *Record }

// Request is one atomic request. It holds only if the zone has Fence.Before
// exactly (nil: no set of that name and type).
type Request struct {
	// Fence is the swap. Its After is nil only where a scratch record goes.
	Fence Step
	// Steps are the rest: first what is deleted, then what is replaced, then
	// what is created.
	Steps []Step
}

// Reply is what a request that was done tells.
type Reply struct {
	// Fence is Request.Fence.After with its Handle; a nil Handle is looked up
	// where the API needs it.
	Fence Record
	// Calls is how many requests it took, 1 at least.
	Calls int
	// Change is the API's name for the change, for a providers.Follower.
	Change string
}

// Size measures a request in the units of the API's limits.
type Size struct{ Records, Characters int }

func (s Size) add(o Size) Size { return Size{s.Records + o.Records, s.Characters + o.Characters} }

func (s Size) within(limit Size) bool {
	return (limit.Records == 0 || s.Records <= limit.Records) && (limit.Characters == 0 || s.Characters <= limit.Characters)
}

// Errors of an API.
var (
	// ErrRefused means that the zone was not as the request expected.
	ErrRefused = errors.New("the zone is not as it was read")
	// ErrIncomplete means that the fence was swapped, and some of the rest was
	// not done: by a server that does not keep its word on "all or none". The
	// Reply is as of a request that was done.
	ErrIncomplete = errors.New("the request was done in part")
	// ErrNothing means that surely nothing was written, and that the same
	// request would fare no better: it is invalid, or not permitted. The
	// controller sees it as what it is.
	ErrNothing = providers.ErrRejected
	// ErrUnread means that a List or Find is not permitted, or wrong, and would
	// fare no better until somebody changes something. It says nothing of a
	// write.
	ErrUnread = errors.New("the zone cannot be read")
)
