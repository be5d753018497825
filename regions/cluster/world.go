package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

// suspectFor is how long a suspicion counts at most without a new vote: a
// vantage that found the endpoint well again may have nothing new to say.
const suspectFor = 30 * time.Second

// world is what is known of world/. Its methods may be called concurrently.
type world struct {
	keys  keys
	log   zerolog.Logger
	lease time.Duration // how long knowledge without a proof counts
	ear   Ear           // nil: nobody hears what is called in; told with mu held

	mu       sync.Mutex
	ballots  map[regions.Name]*ballot
	orders   map[string]controller.Order
	suspects map[suspectID]seen
	rev      int64 // the newest revision of a suspicion that was told
	loaded   bool
	asOf     time.Time // all of this was true then
	since    time.Time // no change was missed since then; zero: nothing is known
	stale    bool
	changed  chan struct{}
	subs     map[*subscriber]struct{}
}

// ballot is one vantage's ballot as its keys tell it.
type ballot struct {
	head   *head
	chunks map[string][]regions.Vote // by key; the slices are never changed
}

type suspectID struct {
	vantage  regions.Name
	endpoint regions.EndpointID
}

// seen is when a suspicion arrived.
type seen struct {
	at  time.Time
	rev int64
}

func newWorld(k keys, lease time.Duration, log zerolog.Logger) *world {
	w := &world{keys: k, lease: lease, log: log, changed: make(chan struct{}), subs: map[*subscriber]struct{}{}}
	w.clear()
	return w
}

func (w *world) clear() {
	w.ballots = map[regions.Name]*ballot{}
	w.orders = map[string]controller.Order{}
	w.suspects = map[suspectID]seen{}
}

// view returns a copy of what is known now. Ballots and suspicions of which it
// is not known that they were true within the vote lease are left out.
func (w *world) view() controller.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v controller.View
	for _, id := range sortedKeys(w.orders) {
		v.Overrides = append(v.Overrides, w.orders[id])
	}
	now := time.Now()
	if now.Sub(w.asOf) > w.lease {
		return v
	}
	for _, name := range slices.Sorted(maps.Keys(w.ballots)) {
		b := w.ballots[name]
		if b.head == nil {
			continue
		}
		out := regions.Ballot{Vantage: name, Suspect: b.head.Suspect, Why: b.head.Why, Config: b.head.Config}
		for _, key := range sortedKeys(b.chunks) {
			out.Votes = append(out.Votes, b.chunks[key]...)
		}
		v.Ballots = append(v.Ballots, out)
	}
	for id, s := range w.suspects {
		if now.Sub(s.at) < suspectFor {
			v.Suspects = append(v.Suspects, id.endpoint)
		}
	}
	slices.Sort(v.Suspects)
	v.Suspects = slices.Compact(v.Suspects)
	return v
}

func (w *world) wait() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// notify is called with mu held.
func (w *world) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// proven notes that everything was true at a time.
func (w *world) proven(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.After(w.asOf) {
		w.asOf = at
	}
	if w.stale && time.Since(w.asOf) <= w.lease {
		w.stale = false
		w.since = time.Now() // nobody could be heard meanwhile
		w.notify()
	}
}

// expire makes time pass: it tells of ballots that went stale and drops
// suspicions that are too old. It returns when to be called again.
func (w *world) expire() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, next, changed := time.Now(), w.lease, false
	if left := w.lease - now.Sub(w.asOf); left > 0 {
		next = left + time.Millisecond
	} else if !w.stale {
		w.stale, changed = true, true
		if w.loaded {
			w.log.Warn().Stringer("since", now.Sub(w.asOf).Round(time.Millisecond)).Msg("cut off from etcd for longer than the vote lease: every vote counts as unknown")
		}
	}
	for id, s := range w.suspects {
		if left := suspectFor - now.Sub(s.at); left > 0 {
			next = min(next, left)
		} else {
			delete(w.suspects, id)
			changed = true
		}
	}
	if changed {
		w.notify()
	}
	return max(next, time.Millisecond)
}

// reset takes a whole list in.
func (w *world) reset(kvs []*mvccpb.KeyValue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.suspects
	w.since = time.Now()
	w.clear()
	var fresh []suspectID
	told := w.rev
	for _, kv := range kvs {
		if id, ok := w.put(kv, true); ok && kv.ModRevision > told {
			fresh = append(fresh, id)
		}
	}
	for id, s := range before { // what was known keeps its age
		if now, ok := w.suspects[id]; ok && now.rev == s.rev {
			w.suspects[id] = s
		}
	}
	if w.loaded {
		w.tell(fresh)
	}
	w.loaded = true
	w.notify()
}

// apply takes changes in.
func (w *world) apply(evs []*clientv3.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var fresh []suspectID
	seen := false // what is called in changes no view
	for _, ev := range evs {
		if kind, _ := w.split(string(ev.Kv.Key)); kind != "call" && kind != "hook" {
			seen = true
		}
		if ev.Type == clientv3.EventTypeDelete {
			w.remove(string(ev.Kv.Key))
		} else if id, ok := w.put(ev.Kv, false); ok {
			fresh = append(fresh, id)
		}
	}
	w.tell(fresh)
	if seen {
		w.notify()
	}
}

// put takes one key in. ok says that it is a suspicion. Listed: it was found,
// and not heard of when it changed.
func (w *world) put(kv *mvccpb.KeyValue, listed bool) (id suspectID, ok bool) {
	kind, rest := w.split(string(kv.Key))
	var err error
	switch kind {
	case "ballot":
		err = w.putBallot(rest, kv)
	case "suspect":
		vantage, endpoint, _ := strings.Cut(rest, "/")
		if _, err = unpack[suspicion](kv.Value); err == nil {
			id, ok = suspectID{regions.Name(vantage), regions.EndpointID(endpoint)}, true
			w.suspects[id] = seen{at: time.Now(), rev: kv.ModRevision}
			w.rev = max(w.rev, kv.ModRevision)
		}
	case "order":
		var o order
		switch o, err = unpack[order](kv.Value); {
		case err != nil:
		case o.ID != rest: // it could not be ended by its ID
			err = fmt.Errorf("found order %q, expected %q", o.ID, rest)
		default:
			w.orders[rest] = o.Order
		}
	case "call", "hook":
		err = w.hear(kind, rest, kv.Value, listed)
	}
	if err != nil {
		w.log.Error().Err(err).Str("key", string(kv.Key)).Msg("etcd holds a value that cannot be read; it does not count")
		w.remove(string(kv.Key))
	}
	return id, ok
}

// hear tells the ear what was called in, or what a hook says.
func (w *world) hear(kind, rest string, value []byte, listed bool) error {
	switch {
	case w.ear == nil:
		return nil
	case kind == "hook":
		s, err := unpack[spoken](value)
		if err == nil {
			w.ear.Hook(rest, s.N, s.Said, listed)
		}
		return err
	case listed: // at what time it was called in, nobody knows
		return nil
	}
	c, err := unpack[calls](value)
	if err == nil {
		w.ear.Calls(c.Calls)
	}
	return err
}

func (w *world) putBallot(rest string, kv *mvccpb.KeyValue) error {
	name, part, _ := strings.Cut(rest, "/")
	b := w.ballots[regions.Name(name)]
	if b == nil {
		b = &ballot{chunks: map[string][]regions.Vote{}}
		w.ballots[regions.Name(name)] = b
	}
	if part == "head" {
		h, err := unpack[head](kv.Value)
		if err == nil {
			b.head = &h
		}
		return err
	}
	c, err := unpack[chunk](kv.Value)
	if err != nil {
		return err
	}
	votes := make([]regions.Vote, len(c.Votes))
	for i, v := range c.Votes {
		votes[i] = regions.Vote{Vantage: regions.Name(name), Endpoint: v.Endpoint, Health: v.Health, Round: v.Round, Why: v.Why, RoundTrip: v.RoundTrip}
	}
	b.chunks[part] = votes
	return nil
}

func (w *world) remove(key string) {
	kind, rest := w.split(key)
	vantage, part, _ := strings.Cut(rest, "/")
	switch kind {
	case "suspect":
		delete(w.suspects, suspectID{regions.Name(vantage), regions.EndpointID(part)})
	case "order":
		delete(w.orders, rest)
	case "hook":
		if w.ear != nil {
			w.ear.Hook(rest, 0, nil, true)
		}
	case "ballot":
		b := w.ballots[regions.Name(vantage)]
		switch {
		case b == nil:
		case part == "head":
			b.head = nil
		default:
			delete(b.chunks, part)
		}
	}
}

func (w *world) split(key string) (kind, rest string) {
	kind, rest, _ = strings.Cut(strings.TrimPrefix(key, w.keys.world()), "/")
	return kind, rest
}
