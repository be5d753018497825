//go:build netns

package clusterlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// TestMishaps draws a plan of kills, pauses, cuts, slow links and wrong clocks,
// runs it against three regions, Route 53 and BIND while queries run, and
// checks all the time what must always hold. VEER_SEED draws another plan.
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
	plan := planOf(seed, faultsOf)
	c.run(plan)
	healed := time.Now()
	w.settle() // what was broken heals
	c.note("healed after %s", time.Since(healed))
	if !slices.ContainsFunc(w.aws.emulator.All(route53test.ZoneID), func(s route53test.Set) bool {
		return s.Name == other.Name && len(s.ResourceRecords) == 1 && s.ResourceRecords[0].Value == "192.0.2.7"
	}) {
		c.broken(checkForeign, "a record of Route 53 was changed")
	}
	c.finish()
	c.count(seed)
	c.keep(seed, plan)
}

// What is checked, by name.
const (
	checkAnswers = "no answer is empty or unknown"
	checkForeign = "records of others stay"
	checkTerms   = "terms only grow"
	checkSerials = "serials only grow"
	checkOrder   = "effects come in their order"
	checkLate    = "no leader writes after the next one began"
	checkLedger  = "a commit is the leader's, after the one before"
	checkMove    = "a move has a majority of the configured vantages behind it"
	checkDepart  = "a departure is not held"
	checkValues  = "what etcd holds can be read"
)

// checker watches what must always hold.
type checker struct {
	w      *world
	began  time.Time
	ledger *ledger
	// hasty: it ends when the first thing is broken.
	hasty bool

	mu      sync.Mutex
	history []string
	wrong   []wrong
	first   chan struct{} // closed when something is broken
	terms   map[uint64]bool
	apart   map[string]time.Time // until when a host was cut off from the providers
	kinds   map[string]int
	was     map[*gate]int // effects and arrivals before it began
	refused map[*gate]int
}

// wrong is what must never be.
type wrong struct {
	check, what string
	after       time.Duration
}

func newChecker(w *world) *checker {
	c := &checker{
		w: w, began: time.Now(), first: make(chan struct{}), terms: map[uint64]bool{}, apart: map[string]time.Time{},
		kinds: map[string]int{}, was: map[*gate]int{}, refused: map[*gate]int{},
	}
	for _, g := range w.gates() {
		effects, refused := g.since(0)
		c.was[g], c.refused[g] = len(effects), refused
	}
	c.ledger = newLedger(c.broken, c.note)
	if err := c.ledger.start(w); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) gates() []*gate { return []*gate{&w.aws.gate, &w.front.gate} }

func (c *checker) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted(fmt.Sprintf(format, args...))
}

func (c *checker) noted(text string) {
	c.history = append(c.history, fmt.Sprintf("%8.3f s  ", time.Since(c.began).Seconds())+text)
}

// broken notes what must never be.
func (c *checker) broken(check, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := fmt.Sprintf(format, args...)
	c.noted("BROKEN: " + check + ": " + what)
	if len(c.wrong) == 0 {
		close(c.first)
	}
	c.wrong = append(c.wrong, wrong{check, what, time.Since(c.began)})
}

// run does the plan, while all is watched. The mishaps of a row come one after
// the other; rows run side by side. They come at the plan's times: that is what
// the plan is, and nothing is concluded from having waited.
func (c *checker) run(plan []mishap) {
	ctx, stop := context.WithCancel(context.Background())
	watchers := c.watchAll(ctx)
	var rows sync.WaitGroup
	last := slices.MaxFunc(plan, func(a, b mishap) int { return a.row - b.row }).row
	for row := range last + 1 {
		rows.Go(func() {
			for _, m := range plan {
				if m.row == row && c.pass(m.at-time.Since(c.began)) {
					c.do(m)
				}
			}
		})
	}
	rows.Wait()
	stop()
	watchers.Wait()
}

// pass lets time pass, and reports whether the run goes on.
func (c *checker) pass(d time.Duration) bool {
	var over <-chan struct{}
	if c.hasty {
		over = c.first
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-over:
		return false
	case <-timer.C:
		return true
	}
}

// do does one mishap and undoes it.
func (c *checker) do(m mishap) {
	r := c.whom(m)
	c.note("%s: %s", r.name, m.what())
	c.mu.Lock()
	c.kinds[m.kind]++
	c.mu.Unlock()
	undo := c.begin(m, r)
	c.pass(m.last)
	undo()
	c.note("%s: over: %s", r.name, m.what())
}

// whom finds the region of a mishap.
func (c *checker) whom(m mishap) *region {
	w := c.w
	switch {
	case m.whom >= 0:
		return w.regions[m.whom]
	case m.kind == kindDown || m.kind == kindHung:
		return c.served()
	}
	if r, _ := w.leader(); r != nil {
		return r
	}
	return w.regions[0]
}

// served is the region whose backend is served.
func (c *checker) served() *region {
	served := c.w.provided()
	for _, r := range c.w.regions {
		if slices.Contains(served, r.web.address()) {
			return r
		}
	}
	return c.w.regions[0]
}

// finish checks what was written down.
func (c *checker) finish() {
	known := map[string]bool{}
	for _, r := range c.w.regions {
		known[r.web.address()] = true
	}
	for _, r := range c.w.regions {
		if n := r.poller.Counts(); n.Empty > 0 {
			c.broken(checkAnswers, "%s gave %d empty answers", r.name, n.Empty)
		}
		all, _ := r.poller.Changes(0)
		for _, ch := range all {
			if !known[ch.Answer] {
				c.broken(checkAnswers, "%s answered %s", r.name, ch.Answer)
			}
		}
	}
	c.checkGates(map[*gate]int{}, map[*gate]int{})
}

// count says what the run was worth, and requires that it was worth enough.
func (c *checker) count(seed uint64) {
	t := c.w.t
	queries, moves := 0, 0
	for _, r := range c.w.regions {
		queries += r.poller.Counts().Answered
		all, _ := r.poller.Changes(0)
		moves = max(moves, len(all)-1)
	}
	var fenced int
	var at []string
	for _, g := range c.w.gates() {
		effects, refused := g.since(0)
		provided := 0
		for i, e := range effects {
			if i > 0 && !slices.Equal(e.app, effects[i-1].app) {
				provided++
			}
		}
		n := refused - c.refused[g]
		fenced += n
		at = append(at, fmt.Sprintf("%s %d moves and %d writes refused by the fence", g.name, provided, n))
	}
	leaders := len(c.terms) - 1
	t.Logf("seed %d, %s: %d leader changes, %d moves of the answer, %d writes refused by the fence; %s; %d queries answered, load %s",
		seed, faultsOf, leaders, moves, fenced, strings.Join(at, ", "), queries, lab.Load())
	var kinds []string
	for _, kind := range append(slices.Clone(ofProcesses), ofBackends...) {
		if n := c.kinds[kind]; n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
			delete(c.kinds, kind)
		}
	}
	t.Logf("mishaps: %s", strings.Join(kinds, "; "))
	if faultsOf >= 10*time.Minute && (leaders < 20 || moves < 50 || fenced < 10) {
		t.Errorf("the run does not count: it needs 20 leader changes, 50 moves and 10 refused writes")
	}
	if leaders == 0 || moves == 0 || queries == 0 {
		t.Error("nothing happened")
	}
	for _, one := range c.wrong {
		t.Errorf("%s: %s", one.check, one.what)
	}
}

// keep writes the plan and the history down, if the test has failed.
func (c *checker) keep(seed uint64, plan []mishap) {
	t := c.w.t
	if !t.Failed() {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("veer-history-%d.txt", seed))
	if err := os.WriteFile(path, []byte(c.story(plan)), 0o600); err != nil {
		t.Error(err)
	}
	t.Logf("the plan and the history are in %s", path)
}

// story is the plan and what happened.
func (c *checker) story(plan []mishap) string {
	lines := slices.Clone(c.history)
	for _, g := range c.w.gates() {
		effects, _ := g.since(c.was[g])
		for _, e := range effects {
			lines = append(lines, fmt.Sprintf("%8.3f s  %s: %s", e.at.Sub(c.began).Seconds(), g.name, e))
		}
	}
	slices.Sort(lines)
	var planned []string
	for _, m := range plan {
		planned = append(planned, m.String())
	}
	return strings.Join(planned, "\n") + "\n\n" + strings.Join(lines, "\n") + "\n"
}
