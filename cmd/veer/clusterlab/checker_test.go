//go:build netns

package clusterlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/internal/lab/links"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// TestMishaps draws a plan of kills, pauses, cuts and slow links, runs it
// against three regions, Route 53 and BIND while queries run, and checks all
// the time what must always hold. VEER_SEED draws another plan.
func TestMishaps(t *testing.T) {
	seed := uint64(faultSeed)
	if text := os.Getenv("VEER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("VEER_SEED=%q: expected a number", text)
		}
	}
	w := newWorld(t, quick)
	ttl := int64(60)
	other := route53test.Set{Name: "other.example.com.", Type: "A", TTL: &ttl, ResourceRecords: route53test.Values("192.0.2.7")}
	if err := w.aws.emulator.Put(route53test.ZoneID, other); err != nil {
		t.Fatal(err)
	}
	c := newChecker(w)
	c.run(planOf(seed, faultsOf))
	w.settle() // what was broken heals
	if !slices.ContainsFunc(w.aws.emulator.All(route53test.ZoneID), func(s route53test.Set) bool {
		return s.Name == other.Name && len(s.ResourceRecords) == 1 && s.ResourceRecords[0].Value == "192.0.2.7"
	}) {
		c.broken("a record of Route 53 that is not Veer's was changed")
	}
	c.finish(seed)
}

// checker watches what must always hold.
type checker struct {
	w     *world
	began time.Time

	mu      sync.Mutex
	history []string
	wrong   []string
	terms   map[uint64]bool

	moves, refused int
}

func newChecker(w *world) *checker {
	_, refused := w.aws.since(0)
	return &checker{w: w, began: time.Now(), terms: map[uint64]bool{}, refused: refused}
}

func (c *checker) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, fmt.Sprintf("%8.3f s  ", time.Since(c.began).Seconds())+fmt.Sprintf(format, args...))
}

// broken notes what must never be.
func (c *checker) broken(format string, args ...any) {
	c.note("BROKEN: "+format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// run does the plan, while all is watched.
func (c *checker) run(plan []mishap) {
	ctx, stop := context.WithCancel(context.Background())
	var watchers sync.WaitGroup
	watchers.Go(func() { c.watchBIND(ctx) })
	for _, r := range c.w.regions {
		watchers.Go(func() { c.watchSerial(ctx, r) })
	}
	var rows sync.WaitGroup
	for _, backends := range []bool{false, true} {
		rows.Go(func() {
			for _, m := range plan {
				if backends == (m.kind == kindDown || m.kind == kindHung) {
					time.Sleep(m.at - time.Since(c.began))
					c.do(m)
				}
			}
		})
	}
	watchers.Go(func() { c.watchTerms(ctx) })
	rows.Wait()
	stop()
	watchers.Wait()
}

// do does one mishap and undoes it.
func (c *checker) do(m mishap) {
	r := c.whom(m)
	c.note("%s: %s", r.name, m.kind)
	undo := c.begin(m.kind, r)
	time.Sleep(m.last)
	undo()
	c.note("%s: over: %s", r.name, m.kind)
}

// whom finds the region of a mishap.
func (c *checker) whom(m mishap) *region {
	w := c.w
	switch {
	case m.whom >= 0 && m.kind != kindHeld && m.kind != kindLost: // only a leader writes
		return w.regions[m.whom]
	case m.kind == kindDown || m.kind == kindHung:
		served := w.provided()
		for _, r := range w.regions {
			if slices.Contains(served, r.web.address()) {
				return r
			}
		}
	default:
		if r, _ := w.leader(); r != nil {
			return r
		}
	}
	return w.regions[0]
}

// begin does a mishap and returns what ends it.
func (c *checker) begin(kind string, r *region) (undo func()) {
	w := c.w
	cut := links.Link{Cut: true}
	switch kind {
	case kindKill:
		r.kill()
		return r.start
	case kindPause:
		r.pause()
		return r.resume
	case kindCut:
		w.cut(r)
	case kindAlone:
		w.cut(r)
		w.net.Both(r.host, w.outside, cut)
		for _, o := range w.regions {
			w.net.Both(r.host, o.web.host, cut)
		}
	case kindUnheard, kindDeaf:
		for _, o := range w.others(r) {
			if kind == kindUnheard {
				w.net.Set(r.host, o.host, cut)
			} else {
				w.net.Set(o.host, r.host, cut)
			}
		}
	case kindSlow:
		w.links(links.Link{Delay: 150 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.1})
	case kindHeld, kindLost:
		return c.holdWrite(r, kind == kindHeld)
	case kindDown:
		r.web.kill()
		return func() { r.web.revive(w.t) }
	case kindHung:
		r.web.hang()
		return func() { r.web.revive(w.t) }
	}
	return w.heal
}

// holdWrite holds the region's next write, makes it have one, and cuts it off
// once it is held.
func (c *checker) holdWrite(r *region, before bool) (undo func()) {
	w := c.w
	h := w.aws.hold(r.address(), before)
	late := time.NewTimer(10 * time.Second) // the backends make it write, sooner or later
	defer late.Stop()
	select {
	case <-h.caught:
		c.note("%s: a write is held", r.name)
	case <-late.C:
		c.note("%s: it writes nothing", r.name)
	}
	w.cut(r)
	_, term := w.leader()
	return func() {
		if isClosed(h.caught) {
			c.awaitNewer(term)
		}
		w.aws.drop(r.address(), h)
		h.release()
		w.heal()
	}
}

// awaitNewer waits a while for a newer term's write at Route 53.
func (c *checker) awaitNewer(term uint64) {
	for range 80 {
		effects, _ := c.w.aws.since(0)
		if slices.ContainsFunc(effects, func(e effect) bool { return e.fence.Term > term }) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.note("no newer term than %d has written", term)
}

// drop forgets a hold that has caught nothing.
func (a *aws) drop(address string, h *hold) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holds[address] == h {
		delete(a.holds, address)
	}
}

// watchTerms asks every process for the term: in none may it fall.
func (c *checker) watchTerms(ctx context.Context) {
	last := map[*region]uint64{}
	c.every(ctx, 250*time.Millisecond, func() {
		for _, r := range c.w.regions {
			st, err := r.status()
			if err != nil || st.Leader.Term == 0 {
				continue // it is dead, paused or cut off
			}
			term := uint64(st.Leader.Term)
			if term < last[r] {
				c.broken("%s: the term fell from %d to %d", r.name, last[r], term)
			}
			if term > last[r] {
				c.note("%s: term %d, led by %q", r.name, term, st.Leader.Name)
			}
			last[r] = term
			c.mu.Lock()
			c.terms[term] = true
			c.mu.Unlock()
		}
	})
}

// watchBIND transfers the zone again and again: its fence may not fall, and the
// service has an answer.
func (c *checker) watchBIND(ctx context.Context) {
	var last effect
	c.every(ctx, 200*time.Millisecond, func() {
		now, err := c.w.readBIND()
		if errors.Is(err, errForeign) {
			c.broken("BIND: %v", err)
		}
		if err != nil {
			c.note("BIND: %v", err)
			return
		}
		if err := after(now, last); err != nil {
			c.broken("BIND: %v", err)
		}
		if now.fence != last.fence {
			c.note("BIND has %s", now)
		}
		last = now
	})
}

// after says what is wrong with a state that is seen after another.
func after(now, last effect) error {
	switch {
	case last.fence != (providers.Fence{}) && !newer(now.fence, last.fence):
		return fmt.Errorf("after %s came %s", last, now)
	case len(now.app) == 0:
		return fmt.Errorf("no answer: %s", now)
	case now.fence == last.fence && !slices.Equal(now.app, last.app):
		return fmt.Errorf("changed without a step of the fence: %s, then %s", last, now)
	}
	return nil
}

// watchSerial asks an authority for the zone's serial: what is served may not
// go back to an older decision.
func (c *checker) watchSerial(ctx context.Context, r *region) {
	var last uint32
	q := new(dns.Msg).SetQuestion("example.test.", dns.TypeSOA)
	c.every(ctx, 100*time.Millisecond, func() {
		conn, err := r.host.Dial("udp", r.address()+":53")
		if err != nil {
			c.note("%s: %v", r.name, err)
			return
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return
		}
		d := dns.Conn{Conn: conn}
		if d.WriteMsg(q) != nil {
			return // it is dead
		}
		m, err := d.ReadMsg()
		if err != nil || len(m.Answer) != 1 {
			return
		}
		soa, ok := m.Answer[0].(*dns.SOA)
		if !ok {
			return
		}
		if last != 0 && int32(soa.Serial-last) < 0 { // RFC 1982
			c.broken("%s: the serial fell from %d to %d", r.name, last, soa.Serial)
		}
		last = soa.Serial
	})
}

func (c *checker) every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// finish checks what was written down, and says what the run was worth.
func (c *checker) finish(seed uint64) {
	t := c.w.t
	known := map[string]bool{}
	for _, r := range c.w.regions {
		known[r.web.address()] = true
	}
	queries := 0
	for _, r := range c.w.regions {
		n := r.poller.Counts()
		queries += n.Answered
		if n.Empty > 0 {
			c.broken("%s gave %d empty answers", r.name, n.Empty)
		}
		all, _ := r.poller.Changes(0)
		c.moves = max(c.moves, len(all)-1)
		for _, ch := range all {
			if !known[ch.Answer] {
				c.broken("%s answered %s", r.name, ch.Answer)
			}
		}
	}
	effects, refused := c.w.aws.since(0)
	if err := order(effects); err != nil {
		c.broken("Route 53: %v", err)
	}
	provided := 0
	for i, e := range effects {
		if len(e.app) == 0 && i > 0 && len(effects[i-1].app) > 0 {
			c.broken("Route 53 lost its answer: %s", e)
		}
		if i > 0 && !slices.Equal(e.app, effects[i-1].app) {
			provided++
		}
	}
	leaders, fenced := len(c.terms)-1, refused-c.refused
	t.Logf("seed %d, %s: %d leader changes, %d moves of the answer, %d of them at Route 53, %d writes refused there by the fence, %d queries answered, load %s",
		seed, faultsOf, leaders, c.moves, provided, fenced, queries, load())
	if faultsOf >= 10*time.Minute && (leaders < 20 || c.moves < 50 || fenced < 10) {
		t.Errorf("the run does not count: it needs 20 leader changes, 50 moves and 10 refused writes")
	}
	if leaders == 0 || c.moves == 0 || queries == 0 {
		t.Error("nothing happened")
	}
	for _, what := range c.wrong {
		t.Error(what)
	}
	if !t.Failed() {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("veer-history-%d.txt", seed))
	lines := c.history
	for _, e := range effects {
		lines = append(lines, fmt.Sprintf("%8.3f s  Route 53: %s", e.at.Sub(c.began).Seconds(), e))
	}
	slices.Sort(lines)
	var plan []string
	for _, m := range planOf(seed, faultsOf) {
		plan = append(plan, m.String())
	}
	text := strings.Join(plan, "\n") + "\n\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
	t.Logf("the plan and the history are in %s", path)
}

// TestTheCheckerCatches plants histories that must never be.
func TestTheCheckerCatches(t *testing.T) {
	at := func(term uint64, holder string, write uint64, app ...string) effect {
		return effect{from: "10.77.1.10", fence: providers.Fence{Owner: "lab", Term: term, Holder: holder, Write: write}, app: app}
	}
	good := []effect{at(1, "a", 1, "x"), at(1, "a", 2, "y"), at(2, "b", 3, "x")}
	if err := order(good); err != nil {
		t.Errorf("a good history: %v", err)
	}
	for name, bad := range map[string]effect{
		"an older term": at(1, "a", 4, "x"), "a write number again": at(2, "b", 3, "x"), "another holder of the term": at(2, "c", 4, "x"),
	} {
		if order(append(slices.Clone(good), bad)) == nil {
			t.Errorf("%s is not seen", name)
		}
	}
	last := good[2]
	for name, bad := range map[string]effect{
		"an older term": at(1, "a", 4, "x"), "an older write": at(2, "b", 2, "x"), "no answer": at(2, "b", 4),
		"an answer without a step": at(2, "b", 3, "z"), "another holder of the term": at(2, "c", 4, "x"), "a newer term with an older write": at(3, "c", 3, "x"),
	} {
		if after(bad, last) == nil {
			t.Errorf("%s is not seen at BIND", name)
		}
	}
	if err := after(at(3, "c", 4, "z"), last); err != nil {
		t.Errorf("a good step: %v", err)
	}
}
