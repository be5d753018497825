//go:build netns

package clusterlab

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

const (
	// etcdKeys is where the owner's keys are.
	etcdKeys = "/veer/lab/"
	// reasonAge is how old the reason of a move may be: for so long a leader may
	// not have heard that it is none any more.
	reasonAge = 15 * time.Second
	// departWithin bounds how long an answer may stay with what a majority
	// calls down while somebody leads, and has led for departAnew: many times
	// what it takes.
	departWithin = 15 * time.Second
	departAnew   = 3 * time.Second
	// lateBy is how long after the beginning of a newer term a write may still
	// come: it was sent before, or the machine is busy.
	lateBy = 2 * time.Second
)

// ledger is what etcd has held, in the order in which it was agreed on. It is
// read from all members, by their sockets: one that is cut off has the same,
// later.
type ledger struct {
	broken func(check, format string, args ...any)
	note   func(format string, args ...any)

	mu      sync.Mutex
	rev     int64
	term    termRecord
	leads   map[string]string // the holder, by the key of a candidacy
	steady  time.Time         // since when this term's leader leads
	raised  map[uint64]time.Time
	heads   map[regions.Name]head
	chunks  map[regions.Name]map[string][]regions.Vote
	shards  map[int]steering.Shard
	verdict map[string]verdict       // by address
	owed    map[string]time.Duration // how long departures are due
	looked  time.Time                // at them, last
	fell    chan struct{}            // closed when a vantage votes down
}

// What keys hold, as far as it is looked at.
type (
	termRecord struct {
		Term   uint64 `json:"term"`
		Holder string `json:"holder"`
	}
	head struct {
		Suspect bool `json:"suspect"`
	}
	chunk struct {
		Votes []regions.Vote `json:"votes"`
	}
)

// verdict is what the votes in etcd say of an endpoint, by the rule of DESIGN:
// a majority of the vantages that the config lists.
type verdict struct {
	health checks.Health
	since  time.Time
	// down and up are when it was so last.
	down, up time.Time
}

func newLedger(broken func(check, format string, args ...any), note func(format string, args ...any)) *ledger {
	return &ledger{
		broken: broken, note: note, leads: map[string]string{}, raised: map[uint64]time.Time{},
		heads: map[regions.Name]head{}, chunks: map[regions.Name]map[string][]regions.Vote{},
		shards: map[int]steering.Shard{}, verdict: map[string]verdict{}, owed: map[string]time.Duration{}, fell: make(chan struct{}),
	}
}

// start takes what is there.
func (l *ledger) start(w *world) error {
	r := w.regions[0]
	c := r.etcd()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := c.Get(ctx, etcdKeys, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("reading etcd: %w", err)
	}
	var events []*clientv3.Event
	for _, kv := range all.Kvs {
		events = append(events, &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
	}
	return l.take(events, all.Header.Revision, time.Now())
}

// watch follows one member until ctx ends, also when it dies and comes back.
func (l *ledger) watch(ctx context.Context, r *region) {
	for ctx.Err() == nil {
		l.follow(ctx, r)
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond): // until it is asked again
		}
	}
}

func (l *ledger) follow(ctx context.Context, r *region) {
	c := r.etcd()
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	from := l.rev + 1
	l.mu.Unlock()
	for resp := range c.Watch(ctx, etcdKeys, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := resp.Err(); err != nil {
			if ctx.Err() == nil {
				l.note("%s: watching etcd: %v", r.name, err)
			}
			return
		}
		if err := l.take(resp.Events, resp.Header.Revision, time.Now()); err != nil {
			l.broken(checkValues, "%v", err)
		}
	}
}

// take takes the events of whole revisions in, those that are not known yet.
func (l *ledger) take(events []*clientv3.Event, rev int64, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.rev
	for _, e := range events {
		if e.Kv.ModRevision <= last {
			continue
		}
		if err := l.event(e, now); err != nil {
			return fmt.Errorf("etcd's key %s: %w", e.Kv.Key, err)
		}
		l.rev = max(l.rev, e.Kv.ModRevision)
	}
	if last == 0 {
		l.rev = rev
	}
	l.tally(now)
	return nil
}

// event takes one change in.
func (l *ledger) event(e *clientv3.Event, now time.Time) error {
	key := strings.TrimPrefix(string(e.Kv.Key), etcdKeys)
	parts := strings.Split(key, "/")
	gone := e.Type == clientv3.EventTypeDelete
	switch {
	case key == "term" && !gone:
		if err := read(e.Kv, &l.term); err != nil {
			return err
		}
		if _, known := l.raised[l.term.Term]; !known {
			l.raised[l.term.Term] = now
		}
		l.steady = now
	case parts[0] == "leader" && gone:
		delete(l.leads, key)
	case parts[0] == "leader":
		var claim struct{ Holder string }
		if err := read(e.Kv, &claim); err != nil {
			return err
		}
		l.leads[key] = claim.Holder
	case parts[0] == "shard" && !gone:
		return l.shard(parts[1], e.Kv, now)
	case len(parts) == 4 && parts[0] == "world" && parts[1] == "ballot":
		return l.ballot(regions.Name(parts[2]), parts[3], e.Kv, gone)
	}
	return nil
}

func (l *ledger) ballot(v regions.Name, part string, kv *mvccpb.KeyValue, gone bool) error {
	if part == "head" {
		var h head
		if gone {
			delete(l.heads, v)
			return nil
		}
		if err := read(kv, &h); err != nil {
			return err
		}
		l.heads[v] = h
		return nil
	}
	if l.chunks[v] == nil {
		l.chunks[v] = map[string][]regions.Vote{}
	}
	delete(l.chunks[v], part)
	if gone {
		return nil
	}
	var c chunk
	if err := read(kv, &c); err != nil {
		return err
	}
	for i := range c.Votes {
		c.Votes[i].Vantage = v
		if c.Votes[i].Health == checks.Down {
			close(l.fell)
			l.fell = make(chan struct{})
		}
	}
	l.chunks[v][part] = c.Votes
	return nil
}

// tally makes the verdicts.
func (l *ledger) tally(now time.Time) {
	vantages := make([]regions.Name, 0, len(regionNames))
	for _, n := range regionNames {
		vantages = append(vantages, regions.Name(n))
	}
	var ballots []regions.Ballot
	for _, v := range vantages {
		h, votes := l.heads[v]
		if !votes {
			continue
		}
		ballots = append(ballots, regions.Ballot{Vantage: v, Suspect: h.Suspect, Votes: slices.Concat(slices.Collect(maps.Values(l.chunks[v]))...)})
	}
	votes := map[regions.EndpointID][]regions.Vote{}
	for _, b := range regions.SelfSuspect(ballots, vantages) {
		for _, v := range b.Votes {
			if !b.Suspect {
				votes[v.Endpoint] = append(votes[v.Endpoint], v)
			}
		}
	}
	quorum := regions.Quorum{Vantages: vantages, Need: len(vantages)/2 + 1, MinVoters: 2}
	for n := range regionNames {
		address := webAddress(n)
		id := regions.EndpointID("web@" + address)
		is, was := quorum.Tally(id, votes[id]).Health, l.verdict[address]
		if was.health != is || was.since.IsZero() {
			l.note("etcd: the votes call %s %s", address, is)
			switch was.health { // it was so until now
			case checks.Down:
				was.down = now
			case checks.Up:
				was.up = now
			}
			was.health, was.since = is, now
		}
		l.verdict[address] = was
	}
}

// lately reports whether the votes have said so of late.
func (l *ledger) lately(address string, h checks.Health, now time.Time) bool {
	v := l.verdict[address]
	last := v.up
	if h == checks.Down {
		last = v.down
	}
	return v.health == h || !last.IsZero() && now.Sub(last) < reasonAge
}

// shard checks a commit: it is of the term that leads, after what it replaces,
// and what it moves has a reason.
func (l *ledger) shard(id string, kv *mvccpb.KeyValue, now time.Time) error {
	n, err := strconv.Atoi(id)
	if err != nil {
		return err
	}
	var is steering.Shard
	if err := read(kv, &is); err != nil {
		return err
	}
	l.tally(now) // with what came before it
	was, known := l.shards[n]
	l.shards[n] = is
	if !known {
		return nil
	}
	if uint64(is.Term) != l.term.Term || !is.Newer(was) || is.Seq <= was.Seq {
		l.broken(checkLedger, "shard %d went from term %d, commit %d, to term %d, commit %d, in term %d", n, was.Term, was.Seq, is.Term, is.Seq, l.term.Term)
	}
	for _, a := range is.Answers {
		i := slices.IndexFunc(was.Answers, func(o steering.Answer) bool { return o.Key() == a.Key() })
		if i < 0 || slices.Equal(was.Answers[i].Data, a.Data) {
			continue
		}
		from, to := was.Answers[i].Data, a.Data
		l.note("ledger: term %d, commit %d: %s goes from %s to %s", is.Term, is.Seq, a.Name, strings.Join(from, ","), strings.Join(to, ","))
		if why := l.unexplained(from, to, now); why != "" {
			l.broken(checkMove, "%s went from %s to %s in term %d, but %s", a.Name, strings.Join(from, ","), strings.Join(to, ","), is.Term, why)
		}
	}
	return nil
}

// unexplained says why an answer must not have moved: of the vantages that the
// config lists, no majority has called what it left down of late, nor what it
// went to, where that comes first, up.
func (l *ledger) unexplained(from, to []string, now time.Time) string {
	rank := func(all []string) int {
		for n := range regionNames {
			if slices.Contains(all, webAddress(n)) {
				return n
			}
		}
		return len(regionNames)
	}
	for _, address := range from {
		if l.lately(address, checks.Down, now) {
			return ""
		}
	}
	for _, address := range to {
		if rank(to) < rank(from) && l.lately(address, checks.Up, now) {
			return ""
		}
	}
	return fmt.Sprintf("the votes call %s %s, and %s %s", strings.Join(from, ","), l.verdict[from[0]].health, strings.Join(to, ","), l.verdict[to[0]].health)
}

// overdue reports the answers that have stayed too long with what the votes
// call down, while another pool is up. It is called again and again. Only the
// time counts in which a leader leads, and not its beginning; of a gap between
// two calls, in which this process was not run, only a part.
func (l *ledger) overdue(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := min(now.Sub(l.looked), time.Second)
	if l.looked.IsZero() {
		passed = 0
	}
	l.looked = now
	if !slices.Contains(slices.Collect(maps.Values(l.leads)), l.term.Holder) {
		l.steady = now
	}
	elsewhere := slices.ContainsFunc(slices.Collect(maps.Values(l.verdict)), func(v verdict) bool { return v.health == checks.Up })
	for _, sh := range l.shards {
		for _, a := range sh.Answers {
			was := l.owed[a.Name]
			switch {
			case slices.ContainsFunc(a.Data, func(address string) bool { return l.verdict[address].health != checks.Down }):
				l.owed[a.Name] = 0
			case elsewhere && now.Sub(l.steady) > departAnew:
				l.owed[a.Name] += passed
			}
			if was < departWithin && l.owed[a.Name] >= departWithin {
				l.broken(checkDepart, "%s stays at %s, which the votes have called down for %s in which one led, now in term %d",
					a.Name, strings.Join(a.Data, ","), l.owed[a.Name].Round(time.Millisecond), l.term.Term)
			}
		}
	}
}

// newerThan returns when the first term after this one began, as far as is
// known.
func (l *ledger) newerThan(term uint64) (first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t, at := range l.raised {
		if t > term && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// nextDown is closed when a vantage says the next time that something is down.
func (l *ledger) nextDown() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fell
}

// webAddress is that of a region's backend.
func webAddress(n int) string { return fmt.Sprintf("10.77.%d.10", 11+n) }

// read reads JSON, which is compressed where it is long.
func read(kv *mvccpb.KeyValue, into any) error {
	raw := kv.Value
	if len(raw) > 1 && raw[0] == 0x1f && raw[1] == 0x8b { // RFC 1952, section 2.3.1
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		if raw, err = io.ReadAll(z); err != nil {
			return err
		}
	}
	return json.Unmarshal(raw, into)
}
