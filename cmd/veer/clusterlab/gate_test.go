//go:build netns

package clusterlab

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/providers"
)

// gate stands before a provider. It notes every write when it comes and when
// it takes effect, and can hold one before or after that.
type gate struct {
	name string // of the provider
	// app reads the addresses that the service has now.
	app func() []string

	// writing makes one write at a time, so that effects are noted in their
	// order.
	writing sync.Mutex

	mu       sync.Mutex
	arrivals []arrival
	effects  []effect
	refused  int              // not the proofs of the swap
	holds    map[string]*hold // by the writer's address
	made     []*hold
	// unfenced: a write that was held takes effect whatever the fence is: a
	// planted fault.
	unfenced bool
}

// arrival is a write that came, whatever came of it.
type arrival struct {
	at    time.Time
	from  string
	fence providers.Fence
	// dialled: its connection was made long before, and it is the first on it:
	// it was under way already.
	dialled bool
}

// longAgo is when a connection was made "long before".
const longAgo = 500 * time.Millisecond

// effect is a write that was done.
type effect struct {
	at    time.Time
	from  string // the writer's address
	fence providers.Fence
	// app are the addresses that the service has since.
	app []string
}

// The moments at which a hold stops a host.
const (
	beforeEffect = iota
	afterEffect
	lastRead // before the reply to the last request of a reading of the zone
)

// hold stops the next write of a host, or its next reading.
type hold struct {
	when   int
	caught chan struct{} // closed when it has come
	free   chan struct{} // closed to let it go on
	once   sync.Once
	// done is closed when it went on and what came of it is known.
	done chan struct{}
	// accepted is valid once done is closed.
	accepted bool
}

// release lets what is held go on. It may be called again.
func (h *hold) release() { h.once.Do(func() { close(h.free) }) }

// wait holds until it is released.
func (h *hold) wait() {
	close(h.caught)
	<-h.free
}

// hold holds what comes next from an address.
func (g *gate) hold(address string, when int) *hold {
	h := &hold{when: when, caught: make(chan struct{}), free: make(chan struct{}), done: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holds == nil {
		g.holds = map[string]*hold{}
	}
	g.holds[address] = h
	g.made = append(g.made, h)
	return h
}

// take returns what holds a host at such a moment, once.
func (g *gate) take(from string, when ...int) *hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.holds[from]
	if h == nil || !slices.Contains(when, h.when) {
		return nil
	}
	delete(g.holds, from)
	return h
}

// drop forgets a hold that has caught nothing.
func (g *gate) drop(address string, h *hold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holds[address] == h {
		delete(g.holds, address)
	}
}

// open lets all go on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.made {
		h.release()
	}
}

// pass lets one write pass. The proofs of the swap, on scratch records, have no
// fence: they are not noted.
func (g *gate) pass(a arrival, write func() bool) {
	if a.fence == (providers.Fence{}) {
		g.writing.Lock()
		defer g.writing.Unlock()
		write()
		return
	}
	a.at = time.Now()
	g.mu.Lock()
	g.arrivals = append(g.arrivals, a)
	g.mu.Unlock()
	h := g.take(a.from, beforeEffect, afterEffect)
	if h == nil {
		g.write(a, write, false)
		return
	}
	defer close(h.done)
	if h.when == beforeEffect {
		h.wait()
	}
	h.accepted = g.write(a, write, h.when == beforeEffect)
	if h.when == afterEffect {
		h.wait()
	}
}

// write does one write and notes it.
func (g *gate) write(a arrival, write func() bool, held bool) bool {
	g.writing.Lock()
	defer g.writing.Unlock()
	accepted := write()
	app := g.app()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !accepted {
		g.refused++
		if !held || !g.unfenced {
			return false
		}
	}
	g.effects = append(g.effects, effect{time.Now(), a.from, a.fence, app})
	return true
}

// since are the effects from the n-th on, and how many writes were refused.
func (g *gate) since(n int) (effects []effect, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.effects[n:]), g.refused
}

// came are the arrivals from the n-th on.
func (g *gate) came(n int) []arrival {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.arrivals[n:])
}

func (e effect) String() string {
	return fmt.Sprintf("%s wrote term %d, write %d: %s", e.from, e.fence.Term, e.fence.Write, strings.Join(e.app, ","))
}

// order reports the first effect that is older than one before it.
func order(effects []effect) error {
	for i := 1; i < len(effects); i++ {
		was, is := effects[i-1], effects[i]
		if is.fence.Term < was.fence.Term || is.fence.Write <= was.fence.Write ||
			is.fence.Term == was.fence.Term && is.fence.Holder != was.fence.Holder {
			return fmt.Errorf("after %s came %s", was, is)
		}
	}
	return nil
}

var fenceText = regexp.MustCompile(`veer-fence owner=(\S+) term=(\d+) holder=(\w+) write=(\d+)`)

// fenceOf is the newest fence in a request: that which it writes.
func fenceOf(body string) (f providers.Fence) {
	for _, m := range fenceText.FindAllStringSubmatch(body, -1) {
		term, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			panic(err)
		}
		write, err := strconv.ParseUint(m[4], 10, 64)
		if err != nil {
			panic(err)
		}
		if write > f.Write {
			f = providers.Fence{Owner: m[1], Term: term, Holder: m[3], Write: write}
		}
	}
	return f
}
