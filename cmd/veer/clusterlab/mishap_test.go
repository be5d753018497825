//go:build netns

package clusterlab

import (
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab/links"
	"github.com/veerdns/veer/cmd/internal/lab/skew"
)

// begin does a mishap and returns what ends it.
func (c *checker) begin(m mishap, r *region) (undo func()) {
	w := c.w
	switch m.kind {
	case kindKill:
		r.kill()
		return r.start
	case kindPause:
		r.pause()
		return r.resume
	case kindCut:
		return w.cutWires(slices.Concat(w.out(r), w.in(r)))
	case kindAlone:
		return c.alone(r, slices.Concat(w.out(r), w.in(r), w.toBackends(r)))
	case kindDoubt:
		return c.alone(r, nil)
	case kindUnheard:
		return w.cutWires(w.out(r))
	case kindDeaf:
		return w.cutWires(w.in(r))
	case kindSlow:
		w.links(links.Link{Delay: 150 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.1})
		return w.heal
	case kindSkew:
		r.skew(m.off)
		return func() { r.skew(0) }
	case kindHeld:
		return c.holdWrite(w.gateOf(m), r, beforeEffect)
	case kindLost:
		return c.holdWrite(w.gateOf(m), r, afterEffect)
	case kindRead:
		return c.holdRead(r)
	case kindCommit:
		return c.holdCommit(r)
	case kindDown:
		r.web.kill()
		return func() { r.web.revive(w.t) }
	case kindHung:
		r.web.hang()
		return func() { r.web.revive(w.t) }
	case kindBlind:
		web := c.served().web.host
		return w.cutWires([]wire{{r.host, web}, {web, r.host}})
	}
	panic(m.kind)
}

// wire is the link in one direction.
type wire struct{ from, to *links.Host }

// out are the links by which a region is heard by the others, in those by which
// it hears them.
func (w *world) out(r *region) (all []wire) {
	for _, o := range w.others(r) {
		all = append(all, wire{r.host, o.host})
	}
	return all
}

func (w *world) in(r *region) (all []wire) {
	for _, o := range w.others(r) {
		all = append(all, wire{o.host, r.host})
	}
	return all
}

func (w *world) toBackends(r *region) (all []wire) {
	for _, o := range w.regions {
		all = append(all, wire{r.host, o.web.host}, wire{o.web.host, r.host})
	}
	return all
}

// cutWires cuts links; undo makes these, and no others, whole again.
func (w *world) cutWires(all []wire) (undo func()) {
	for _, l := range all {
		w.net.Set(l.from, l.to, links.Link{Cut: true})
	}
	return func() {
		for _, l := range all {
			w.net.Set(l.from, l.to, w.whole(l.from, l.to))
		}
	}
}

// alone cuts a region off from the providers, and more.
func (c *checker) alone(r *region, more []wire) (undo func()) {
	c.setApart(r, time.Now().Add(time.Hour)) // until it is over
	heal := c.w.cutWires(append([]wire{{r.host, c.w.outside}, {c.w.outside, r.host}}, more...))
	return func() {
		heal()
		c.setApart(r, time.Now())
	}
}

func (c *checker) setApart(r *region, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apart[r.address()] = until
}

// skew makes the region's wall clock wrong.
func (r *region) skew(by time.Duration) {
	if err := skew.Set(r.clock(), by); err != nil {
		r.w.t.Error(err)
	}
}

func (w *world) gateOf(m mishap) *gate {
	if m.bind {
		return &w.front.gate
	}
	return &w.aws.gate
}

// caughtWithin is how long a write, or a vote, is waited for: the backends make
// a leader have one, sooner or later.
const caughtWithin = 10 * time.Second

// catches waits until something is held, and reports whether it is.
func (c *checker) catches(what string, r *region, caught <-chan struct{}) bool {
	late := time.NewTimer(caughtWithin)
	defer late.Stop()
	select {
	case <-caught:
		c.note("%s: %s", r.name, what)
		return true
	case <-late.C:
		c.note("%s: nothing came that could be held", r.name)
		return false
	}
}

// holdWrite holds the region's next write, and cuts it off once it is held.
func (c *checker) holdWrite(g *gate, r *region, when int) (undo func()) {
	w := c.w
	h := g.hold(r.address(), when)
	c.catches("a write is held at "+g.name, r, h.caught)
	heal := w.cutWires(slices.Concat(w.out(r), w.in(r)))
	_, term := w.leader()
	return func() {
		if isClosed(h.caught) {
			c.awaitNewer(g, term)
		}
		g.drop(r.address(), h)
		h.release()
		heal()
	}
}

// holdRead pauses the region when it is about to write to Route 53: it waits
// for the last reply before that, which then comes while it is paused.
func (c *checker) holdRead(r *region) (undo func()) {
	g := &c.w.aws.gate
	h := g.hold(r.address(), lastRead)
	_, term := c.w.leader()
	held := c.catches("the last reply before a write is held", r, h.caught)
	r.pause()
	g.drop(r.address(), h)
	h.release()
	return func() {
		if held {
			c.awaitNewer(g, term)
			c.pass(2 * lateBy) // so that what it then sends is late
		}
		r.resume()
	}
}

// holdCommit loses what the region sends to the others from when a vote comes
// that makes a leader commit, until another leads: what it sent last is then
// sent again by its kernel.
func (c *checker) holdCommit(r *region) (undo func()) {
	_, term := c.w.leader()
	c.catches("a vote has come", r, c.ledger.nextDown())
	heal := c.w.cutWires(c.w.out(r))
	// Connections between members last 5 s.
	if !until(4500*time.Millisecond, func() bool { return !c.ledger.newerThan(term).IsZero() }) {
		c.note("no newer term than %d began", term)
	}
	heal()
	return func() {}
}

// awaitNewer waits a while for a newer term's write.
func (c *checker) awaitNewer(g *gate, term uint64) {
	if !until(8*time.Second, func() bool {
		effects, _ := g.since(0)
		return slices.ContainsFunc(effects, func(e effect) bool { return e.fence.Term > term })
	}) {
		c.note("no newer term than %d has written to %s", term, g.name)
	}
}

// until waits a while for something that may also not come to be, and reports
// whether it did.
func until(most time.Duration, ok func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(most)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			return false
		}
	}
	return true
}
