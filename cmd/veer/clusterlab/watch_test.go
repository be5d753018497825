//go:build netns

package clusterlab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// watchAll begins to watch, until ctx ends.
func (c *checker) watchAll(ctx context.Context) *sync.WaitGroup {
	all := new(sync.WaitGroup)
	all.Go(func() { c.watchBIND(ctx) })
	all.Go(func() { c.watchTerms(ctx) })
	all.Go(func() { c.watchGates(ctx) })
	for _, r := range c.w.regions {
		all.Go(func() { c.watchSerial(ctx, r) })
		all.Go(func() { c.ledger.watch(ctx, r) })
	}
	return all
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
				c.broken(checkTerms, "%s: the term fell from %d to %d", r.name, last[r], term)
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
			c.broken(checkForeign, "BIND: %v", err)
		}
		if err != nil {
			c.note("BIND: %v", err)
			return
		}
		if err := after(now, last); err != nil {
			c.broken(checkOrder, "BIND: %v", err)
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

// watchGates looks at what has come to the providers, and at the ledger's
// clock.
func (c *checker) watchGates(ctx context.Context) {
	effects, arrivals := map[*gate]int{}, map[*gate]int{}
	c.every(ctx, 250*time.Millisecond, func() {
		c.checkGates(effects, arrivals)
		c.ledger.overdue(time.Now())
	})
}

// checkGates checks what has come to the providers since it was looked at, as
// the maps say, and brings these up to date.
func (c *checker) checkGates(effects, arrivals map[*gate]int) {
	for _, g := range c.w.gates() {
		new, _ := g.since(max(0, effects[g]-1, c.was[g]-1))
		if err := order(new); err != nil {
			c.broken(checkOrder, "%s: %v", g.name, err)
		}
		for i, e := range new {
			if i > 0 && len(e.app) == 0 && len(new[i-1].app) > 0 {
				c.broken(checkAnswers, "%s lost its answer: %s", g.name, e)
			}
		}
		effects[g] = max(0, effects[g]-1, c.was[g]-1) + len(new)
		came := g.came(arrivals[g])
		for _, a := range came {
			if err := c.late(a); err != nil {
				c.broken(checkLate, "%s: %v", g.name, err)
			}
		}
		arrivals[g] += len(came)
	}
}

// late says that a write came from a leader after the next one began. That may
// be where it was under way: its host was cut off from the providers, or it had
// made the connection for it, then was paused.
func (c *checker) late(a arrival) error {
	if a.at.Before(c.began) || a.dialled {
		return nil
	}
	c.mu.Lock()
	apart, cut := c.apart[a.from]
	c.mu.Unlock()
	if cut && a.at.Before(apart.Add(reasonAge)) {
		return nil
	}
	next := c.ledger.newerThan(a.fence.Term)
	if by := a.at.Sub(next); !next.IsZero() && by > lateBy {
		return fmt.Errorf("%s sent a write of term %d, %s after a newer term began", a.from, a.fence.Term, by.Round(time.Millisecond))
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
			c.broken(checkSerials, "%s: the serial fell from %d to %d", r.name, last, soa.Serial)
		}
		last = soa.Serial
	})
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
