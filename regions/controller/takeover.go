package controller

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// takeoverHolder begins the holder of every takeover. An elected leader's is
// hexadecimal.
const takeoverHolder = "takeover-"

// TakenOver reports whether the zone was last written by an operator's
// takeover.
func TakenOver(f providers.Fence) bool { return strings.HasPrefix(f.Holder, takeoverHolder) }

// taken refuses a zone that an operator has taken over, until the ledger knows
// that this takeover has ended: a takeover lasts until then, whatever is
// elected meanwhile. To step down would end nothing, for the next leader finds
// the same; and no higher term helps, for only the end may undo what an
// operator ordered.
func (w *writer) taken(f providers.Fence) error {
	if !TakenOver(f) || TakenOver(providers.Fence{Holder: w.lead.Holder()}) {
		return nil
	}
	var ended regions.Term
	if l, ok := w.lead.(interface{ TakeoversEnded() regions.Term }); ok {
		ended = l.TakeoversEnded()
	}
	if f.Term <= uint64(ended) {
		return nil
	}
	return fmt.Errorf("%w: an operator has taken the zone over (%s, term %d): nothing else is written there until veer takeover --end", providers.ErrRejected, f.Holder, f.Term)
}

// TakeoverOptions are what a Takeover needs.
type TakeoverOptions struct {
	Options // of which it uses Owner, Policy, Providers, Fence and Log
	// Term is to be above every fence that is known; Holder names the takeover,
	// and must differ from one to the next.
	Term   regions.Term
	Holder string
}

// Takeover writes zones without an election, for an operator, when no quorum
// can be had: it claims them, and writes the answers that it is given. The
// fences keep an older leader out, and this one where another has a higher
// term. It is safe for concurrent use.
type Takeover struct {
	o       Options
	mu      sync.Mutex // held while it writes
	writers []*writer
	refused map[ZoneID]bool // or not tried after a refusal: not written
	over    error
}

// ErrOver means that a takeover writes no more: another has a higher term.
var ErrOver = errors.New("the takeover is over")

// NewTakeover makes a takeover that has claimed nothing yet.
func NewTakeover(o TakeoverOptions) *Takeover {
	t := &Takeover{o: New(o.Options).o, refused: map[ZoneID]bool{}}
	t.o.Marks = nil // they are in the ledger
	lead := takeoverLead{term: o.Term, holder: TakeoverHolder(o.Holder)}
	for _, w := range o.Providers {
		t.writers = append(t.writers, newWriter(&t.o, w, lead, func(error) {}, &measured{}))
	}
	return t
}

// TakeoverHolder is the holder in the fences of a takeover.
func TakeoverHolder(name string) string { return takeoverHolder + name }

// Claim claims the zones one by one, in their order. It stops at the first
// refusal: the zones after it are in no outcome. One that does not answer is
// left for Write to claim.
func (t *Takeover) Claim(ctx context.Context) []ZoneOutcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []ZoneOutcome
	for i, w := range t.writers {
		done := w.pass(ctx, &Request{})
		out = append(out, done)
		if !Refuses(done.Err) {
			continue
		}
		for _, rest := range t.writers[i:] {
			t.refused[rest.id()] = true
		}
		break
	}
	return out
}

// Refuses reports whether a zone said no, rather than nothing.
func Refuses(err error) bool {
	var busy *providers.BusyError
	return !errors.As(err, &busy) && (errors.Is(err, providers.ErrFenced) || errors.Is(err, providers.ErrConflict) ||
		errors.Is(err, providers.ErrRejected) || errors.Is(err, providers.ErrUnproven))
}

// Write makes the names of the answers as given, in every zone that did not
// refuse the claim, and touches no other name. Once a zone is fenced, nothing
// is written any more, anywhere: ErrOver says why.
func (t *Takeover) Write(ctx context.Context, answers []steering.Answer) ([]ZoneOutcome, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		return nil, t.over
	}
	var shards [steering.Shards][]steering.Answer
	for _, a := range answers {
		id := steering.ShardOf(a.Name)
		shards[id] = append(shards[id], a)
	}
	var all errgroup.Group
	var writers []*writer
	for _, w := range t.writers {
		if !t.refused[w.id()] {
			writers = append(writers, w)
		}
	}
	out := make([]ZoneOutcome, len(writers))
	for i, w := range writers {
		for id, answers := range shards {
			w.give(id, answers, nil)
		}
		all.Go(func() error { out[i] = w.pass(ctx, &Request{}); return nil })
	}
	_ = all.Wait() // the functions return nil
	for _, z := range out {
		if errors.Is(z.Err, providers.ErrFenced) {
			t.over = fmt.Errorf("%w: provider %s, zone %s: %w", ErrOver, z.Provider, z.Zone, z.Err)
		}
	}
	return out, t.over
}

// takeoverLead is what an operator's word makes a leader.
type takeoverLead struct {
	term   regions.Term
	holder string
}

func (l takeoverLead) Term() regions.Term           { return l.term }
func (l takeoverLead) Holder() string               { return l.holder }
func (l takeoverLead) Since() time.Time             { return time.Time{} }
func (l takeoverLead) Done() <-chan struct{}        { return nil }
func (l takeoverLead) Sure() bool                   { return true }
func (l takeoverLead) Resign(context.Context) error { return nil }

// TakeoversEnded: a takeover is kept out by nothing but a higher term.
func (l takeoverLead) TakeoversEnded() regions.Term { return math.MaxInt64 }
