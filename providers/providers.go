// Package providers says what Veer writes into DNS and how: an RRSet is what a
// name answers, a Change turns one into another, Diff finds the changes, a
// Provider reads and applies them, and a Fence keeps a controller that no
// longer leads from overwriting one that does.
//
// The package is pure: the standard library only, no clock, no logger, no I/O.
// Each provider lives in a package below it; a vendor's types do not leave
// that package.
package providers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RRSet is one RRset (RFC 9499) in presentation form, or one of several that
// share a name and type and are told apart by SetID, among which a resolver's
// query is spread by Weight, or by Location, of which a query gets its client's.
type RRSet struct {
	// Name is the owner name: absolute, lower case, with the final dot.
	Name string `json:"name"`
	// Type is the mnemonic: A, AAAA, CNAME, TXT, ... or TypeAlias.
	Type string `json:"type"`
	// SetID tells weighted RRsets of one name and type apart; empty for a
	// simple RRset. Simple and weighted ones never share a name and type.
	SetID string `json:"set_id,omitempty"`
	// Weight is the share of queries, relative to the others' sum; it has no
	// meaning without a SetID.
	Weight uint32 `json:"weight,omitempty"`
	// Location names the clients that get this set; empty where all do. Those
	// with and without one never share a name.
	Location string `json:"location,omitempty"`
	// TTL is in seconds (RFC 2181, section 8: at most 2^31-1).
	TTL uint32 `json:"ttl"`
	// AutoTTL, in a set that was read, says that the TTL is the provider's
	// choice and cannot be set, as that of a record that Cloudflare proxies. It
	// equals every TTL, so that the set does not differ from what is wanted
	// forever.
	AutoTTL bool `json:"auto_ttl,omitempty"`
	// Data holds the RDATA of each record in presentation form. Its order
	// has no meaning; it is never empty.
	Data []string `json:"data"`
}

// Key is what identifies an RRset in a zone.
type Key struct{ Name, Type, SetID, Location string }

// Key returns the identity of the set.
func (s RRSet) Key() Key { return Key{s.Name, s.Type, s.SetID, s.Location} }

// Change is one step of a diff: a nil Before creates, a nil After deletes,
// both set replaces. At least one is set, and both have the same Key.
type Change struct {
	Before *RRSet `json:"before,omitempty"`
	After  *RRSet `json:"after,omitempty"`
}

// Caps is what a provider's records can express.
type Caps struct {
	Weights, Geo, Latency, Alias bool
	// Aliases are the hosts that a CNAME to is held as an alias record, in
	// canonical form, with the TTL of what it leads to, in seconds: such a
	// record has no TTL of its own. It may stand at a zone's apex.
	Aliases map[string]uint32
	// Flatten: sets of type ALIAS are answered with the addresses of their
	// hosts. A and AAAA sets may stand beside one.
	Flatten bool
	// MaxWeight is the largest weight of one set; 0 is no bound.
	MaxWeight uint32
	// MinTTL and MaxTTL bound the TTLs it takes, in seconds.
	MinTTL, MaxTTL uint32
	// BatchRecords is how many records one atomic request can carry; 0 is
	// no limit.
	BatchRecords int
	// Plain: names have letters, digits, hyphens and underscores only, but for a
	// wildcard's *.
	Plain bool
	// Exact: a set that others changed since it was read makes Apply return
	// ErrConflict. Without, only the fence is compared, and what others did to
	// an owned set in between is overwritten.
	Exact bool
}

// Snapshot is what a zone held at one moment: the fence as it was read before
// the records (and found unchanged after them), and the records.
type Snapshot struct {
	Zone  string
	Fence Fence // the zero Fence when the zone has none
	// Records are the steered sets (see Steered) at the names that this owner
	// owns, sorted by Key.
	Records []RRSet
	// Foreign are the steered sets at all other names, sorted by Key.
	Foreign []RRSet
	// Owned are the names that this owner owns, sorted; one may have no record.
	Owned []string
	// Owners tells, by name, which other Veer owns it.
	Owners map[string]string
	// Token is the provider's own precondition, opaque to all others.
	Token any
}

// Receipt says what an Apply did.
type Receipt struct {
	Fence Fence
	// Calls is how many requests it took.
	Calls int
	// Change is the provider's own name of what was done last, for a Follower;
	// empty where it has none.
	Change string
}

// Provider reads and writes one place where records live. It is safe for
// concurrent use; each call ends soon after its context does.
type Provider interface {
	Caps() Caps
	// Read returns the owned records of the zone (absolute name) with the
	// fence that guards them.
	Read(ctx context.Context, zone string) (Snapshot, error)
	// Apply makes the changes and swaps from.Fence for next, all or none. What
	// one request cannot carry goes in several, each all or none with a fence
	// of its own: the write numbers from next.Write on, at most WritesOf the
	// changes. The changes of one name are never parted. No write number may
	// be given twice: that the zone has next is what tells, after a lost
	// reply, that the write happened.
	//
	// It returns ErrFenced when the zone's fence is not from.Fence and belongs
	// to a newer term, or to another holder of the same term; ErrConflict
	// when the fence or a record changed otherwise since it was read, or a
	// name is not the owner's; a *BusyError when nothing was written and it
	// may be tried again later. A lost reply is settled by reading the fence,
	// never by writing again.
	Apply(ctx context.Context, from Snapshot, next Fence, changes []Change) (Receipt, error)
}

// WritesOf is how many write numbers an Apply of so many changes may use up,
// from the one it was given on: a claim and a write for each name, and one for
// what is given back.
func WritesOf(changes int) uint64 { return 2*uint64(max(changes, 0)) + 1 }

// Errors that every provider returns, wrapped with zone and what was found.
var (
	// ErrFenced means that another controller leads: stop and step down.
	ErrFenced = errors.New("fenced: another controller has written with a newer fence")
	// ErrConflict means that the zone changed since it was read: read again.
	ErrConflict = errors.New("conflict: the zone changed since it was read")
	// ErrRejected means that the provider takes the request for wrong, or this
	// client for not permitted to make it: surely nothing was written, and the
	// same request would fare no better until somebody changes something.
	ErrRejected = errors.New("rejected: nothing was written")
	// ErrUnproven means that the zone was seen not to keep a stale write out:
	// it stays read-only.
	ErrUnproven = errors.New("the zone does not refuse a stale write, so it is only read")
)

// BusyError means that the provider wants to be asked later; nothing was
// written.
type BusyError struct {
	// After is how long to wait at least; 0: the provider did not say.
	After time.Duration
	Err   error
}

func (e *BusyError) Error() string {
	if e.After <= 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v (asked to wait %s)", e.Err, e.After)
}

func (e *BusyError) Unwrap() error { return e.Err }
