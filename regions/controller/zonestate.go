package controller

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
)

// ZoneStatus says in a word how a zone stands.
type ZoneStatus string

// How a zone can stand.
const (
	// ZoneOK: it holds what the ledger says.
	ZoneOK ZoneStatus = "ok"
	// ZoneBehind: the ledger has newer answers; a write is under way, or the
	// provider asked to wait.
	ZoneBehind ZoneStatus = "behind"
	// ZoneFailing: the last try failed; the next one may not.
	ZoneFailing ZoneStatus = "failing"
	// ZoneRefused: some names, or the whole zone, cannot be written until
	// somebody changes something.
	ZoneRefused ZoneStatus = "refused"
	// ZoneGuarded: the guard holds changes back.
	ZoneGuarded ZoneStatus = "guarded"
	// ZoneReadOnly: the zone does not keep stale writes out.
	ZoneReadOnly ZoneStatus = "read-only"
)

// ZoneState is how one zone of a provider stands with the leader.
type ZoneState struct {
	Provider string     `json:"provider"`
	Zone     string     `json:"zone"`
	State    ZoneStatus `json:"state"`
	// Since is how long it has been so, as far as this leader saw.
	Since time.Duration `json:"since"`
	// Error is why it is not ok.
	Error string `json:"error,omitempty"`
	// Behind are the names whose newest answer is not in the zone.
	Behind []Behind `json:"behind,omitempty"`
	// Refused are names that cannot be written; Held are owned names that no
	// service has here.
	Refused []Refusal `json:"refused,omitempty"`
	Held    []string  `json:"held,omitempty"`
	// Written is how long ago the last write was; 0: none in this term.
	Written time.Duration `json:"written,omitempty"`
	// Calls is how many requests the writes of this term took.
	Calls int `json:"calls"`
	// Propagation is the longest time that a change was measured to take until
	// it was on all name servers; 0: none was measured.
	Propagation time.Duration `json:"propagation,omitempty"`
}

// Behind is a name whose newest answer is not in a zone.
type Behind struct {
	Name  string        `json:"name"`
	Since time.Duration `json:"since"`
}

// Pauses after what no prompt repetition mends, and how often it is said.
const (
	// rejectedPause is between tries of what the provider rejects; a new
	// answer or an operator's order shortens it.
	rejectedPause = 5 * time.Minute
	// unprovenPause is between proofs of the swap; only an order shortens it.
	unprovenPause = 10 * time.Minute
	// sayAgain is when an error that lasts is logged again, sayOther when
	// another text of the same kind is.
	sayAgain = 5 * time.Minute
	sayOther = 30 * time.Second
)

// standing is what the writer knows of its zone. The writer's mu guards it.
type standing struct {
	state   ZoneStatus
	since   time.Time
	err     string
	refused []Refusal
	held    []string
	wrote   time.Time
	calls   int
	// pending are names with an answer that is not known to be in the zone.
	pending map[string]pending
	// said is what was logged last of a trouble.
	said struct {
		state ZoneStatus
		text  string
		at    time.Time
	}
}

// pending is since when a name waits, and for which generation of answers.
type pending struct {
	since time.Time
	gen   uint64
}

// pause says how long to wait after a try, and what may shorten it.
type pause struct {
	atLeast time.Duration
	// news: new answers end it; asks: an operator's order does.
	news, asks bool
}

// outcome tells what became of a try: how the zone stands, and how long to
// wait. The zero pause waits for something to do.
func (w *writer) outcome(err error) (ZoneStatus, pause) {
	w.conflicts++
	if !errors.Is(err, providers.ErrConflict) {
		w.conflicts = 0
	}
	var busy *providers.BusyError
	switch {
	case err == nil:
		w.backoff = 0
		if len(w.rejected) > 0 {
			return ZoneOK, pause{atLeast: rejectedPause, news: true, asks: true}
		}
		return ZoneOK, pause{}
	case errors.As(err, &busy):
		w.backOff()
		return ZoneBehind, pause{atLeast: max(busy.After, w.backoff)}
	case errors.Is(err, providers.ErrUnproven):
		return ZoneReadOnly, pause{atLeast: unprovenPause, asks: true}
	case errors.Is(err, providers.ErrRejected):
		return ZoneRefused, pause{atLeast: rejectedPause, news: true, asks: true}
	}
	w.backOff()
	return ZoneFailing, pause{atLeast: w.backoff, asks: true}
}

func (w *writer) backOff() { w.backoff = min(max(2*w.backoff, retryFirst), retryMost) }

// note takes down how a try ended, and logs it in one line where it is news.
func (w *writer) note(state ZoneStatus, done ZoneOutcome, err error, again time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	s := &w.stands
	text := ""
	switch {
	case err != nil:
		text = err.Error()
	case done.Guard != "":
		state, text = ZoneGuarded, done.Guard
	case len(done.Refused) > 0:
		state, text = ZoneRefused, fmt.Sprintf("%s: %s", done.Refused[0].Name, done.Refused[0].Why)
	}
	if err == nil {
		w.sayRefused(done.Refused)
		s.refused, s.held = done.Refused, done.Held
	}
	if done.Calls > 0 {
		s.calls += done.Calls
		s.wrote = now
	}
	was, since := s.state, s.since
	if state != s.state {
		s.since = now
	}
	s.state, s.err = state, text
	switch {
	case state == ZoneOK && was != ZoneOK && was != "" && s.said.state != "":
		w.log.Info().Dur("after_ms", now.Sub(since)).Msg("the zone is as the ledger says again")
		s.said.state = ""
	case state != ZoneOK && !(state == ZoneRefused && err == nil):
		w.say(state, text, again, now)
	}
}

// say logs a trouble when it is new, and then now and again.
func (w *writer) say(state ZoneStatus, text string, again time.Duration, now time.Time) {
	said, quiet := &w.stands.said, sayAgain
	if text != said.text {
		quiet = sayOther
	}
	if state == said.state && now.Sub(said.at) < quiet {
		return
	}
	said.state, said.text, said.at = state, text, now
	line := w.log.Warn()
	if again > 0 {
		line = line.Dur("again_in_ms", again)
	}
	line.Str("why", text).Msg(map[ZoneStatus]string{
		ZoneBehind:   "the provider wants to be asked later",
		ZoneFailing:  "cannot write the zone, trying again",
		ZoneRefused:  "the provider rejects what is to be written",
		ZoneGuarded:  "the guard holds changes back until they are confirmed",
		ZoneReadOnly: "the zone does not keep stale writes out, so it is only read",
	}[state])
}

// named is how many names of one kind are logged at once.
const named = 20

// sayDrift logs what was changed at the provider by somebody else: what this
// reign had brought up to date, and no new answer explains.
func (w *writer) sayDrift(done ZoneOutcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range done.Changes {
		name := setOf(c).Name
		if _, waits := w.stands.pending[name]; waits || slices.Contains(done.Held, name) {
			continue
		}
		if n++; n <= named {
			found, back := []providers.RRSet{}, []providers.RRSet{}
			if c.Before != nil {
				found = append(found, *c.Before)
			}
			if c.After != nil {
				back = append(back, *c.After)
			}
			w.log.Warn().Str("name", name).Str("type", setOf(c).Type).Str("found", data(found)).Str("back_to", data(back)).
				Msg("a record was changed by somebody else, it is put back")
		}
	}
	more(&w.log, n, "records were changed by somebody else")
}

// sayRefused logs the names that were not refused before.
func (w *writer) sayRefused(refused []Refusal) {
	n := 0
	for _, r := range refused {
		if slices.Contains(w.stands.refused, r) {
			continue
		}
		if n++; n <= named {
			w.log.Warn().Str("name", r.Name).Str("why", r.Why).Msg("a name cannot be written; the others are")
		}
	}
	more(&w.log, n, "names cannot be written")
}

func more(log *zerolog.Logger, n int, what string) {
	if n > named {
		log.Warn().Int("more", n-named).Msg("and more " + what)
	}
}

// zoneState is how the zone stands now.
func (w *writer) zoneState() ZoneState {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, s := time.Now(), &w.stands
	out := ZoneState{
		Provider: w.w.Name, Zone: providers.CanonicalName(w.w.Zone), State: s.state, Since: now.Sub(s.since), Error: s.err,
		Refused: slices.Clone(s.refused), Held: slices.Clone(s.held), Calls: s.calls, Propagation: w.measured.of(w.w),
	}
	if !s.wrote.IsZero() {
		out.Written = now.Sub(s.wrote)
	}
	for name, p := range s.pending {
		out.Behind = append(out.Behind, Behind{name, now.Sub(p.since)})
	}
	slices.SortFunc(out.Behind, func(a, b Behind) int { return cmp.Compare(a.Name, b.Name) })
	if (out.State == ZoneOK || out.State == "") && len(out.Behind) > 0 {
		out.State, out.Since = ZoneBehind, 0
		for _, b := range out.Behind {
			out.Since = max(out.Since, b.Since)
		}
	}
	if out.State == "" {
		out.State = ZoneOK
	}
	return out
}
