//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// load is what a generator is to do.
type load struct {
	mix     *mix
	sources [][4]byte
	// rate is of queries a second, at random moments (a Poisson process),
	// whatever the answers do; 0: as many as the server answers, with so many
	// in flight.
	rate   float64
	window int
	// burst is how many queries leave a source at once. The system takes them
	// with one call, so that the generator is not what is measured.
	burst      int
	warm, span time.Duration
	// patience is how long an answer may take before it is lost: where many are
	// in flight, none of them came for so long. 0 is usualPatience.
	patience time.Duration
	// watch takes part in the measurement, and may end it; nil: nobody does.
	watch watcher
}

// A watcher takes part in a measurement, on the generator's own thread.
type watcher interface {
	// judge takes judge's place for an answer that came at a moment.
	judge(reply []byte, q *question, edns bool, now time.Duration) (j judgement, cookie bool)
	// step is called again and again, and must not take long. over ends the
	// measurement before its time.
	step(now time.Duration) (over bool, err error)
}

// tally is what became of the queries of a measurement.
type tally struct {
	span                    time.Duration
	sent                    uint64
	right, wrong, truncated uint64
	lost                    uint64 // no answer came
	after                   uint64 // right answers that came when the measurement was over
	strays                  uint64 // answers that nobody waited for
	edns, cookies           uint64 // queries with EDNS that were answered, and with a cookie
	latency                 histogram
	late                    histogram // how late the generator itself sent
	firstWrong              string
}

func (t *tally) answered() uint64 { return t.right + t.wrong + t.truncated }

// perSecond is how many right answers came a second.
func (t *tally) perSecond() float64 { return float64(t.right) / t.span.Seconds() }

// waiting is a query in flight, by its id.
type waiting struct {
	since    time.Duration // 0: there is none
	question uint16
	edns     bool
}

// generator asks a server, and judges every answer. It spins: it is to have a
// CPU of its own.
type generator struct {
	wire     *wire
	began    time.Time
	next     uint16
	waiting  [1 << 16]waiting
	flying   int // how many wait
	news     time.Duration
	stalls   int
	mix      *mix
	watch    watcher
	patience time.Duration
	tally    tally
}

const (
	usualPatience = 200 * time.Millisecond
	maxStalls     = 10
)

func newGenerator(server netip.AddrPort) (*generator, error) {
	w, err := newWire(server)
	if err != nil {
		return nil, err
	}
	return &generator{wire: w, began: time.Now().Add(-time.Second)}, nil
}

func (g *generator) now() time.Duration { return time.Since(g.began) }

// run loads the server. mark is called when the measurement begins and ends.
func (g *generator) run(l load, mark func() error) (*tally, error) {
	if l.burst < 1 || l.burst > maxBurst || l.rate == 0 && l.window < l.burst {
		return nil, fmt.Errorf("found bursts of %d and a window of %d; expected 1 to %d, and a window of at least one burst", l.burst, l.window, maxBurst)
	}
	g.patience = l.patience
	if g.patience == 0 {
		g.patience = usualPatience
	}
	g.mix, g.watch, g.stalls, g.news = l.mix, l.watch, 0, g.now()
	c := &cursor{mix: l.mix, sources: l.sources}
	due := newArrivals(l.rate, g.now())
	start, measuring := g.now()+l.warm, false
	for {
		now := g.now()
		if !measuring && now >= start {
			if err := mark(); err != nil {
				return nil, err
			}
			measuring, start = true, g.now()
			g.tally = tally{}
			due.restart(start)
			continue
		}
		if measuring && now >= start+l.span {
			break
		}
		if err := g.receive(); err != nil {
			return nil, err
		}
		if err := g.send(&l, c, due); err != nil {
			return nil, err
		}
		if g.watch != nil {
			if over, err := g.watch.step(g.now()); err != nil {
				return nil, err
			} else if over {
				break
			}
		}
	}
	g.tally.span = g.now() - start
	if err := mark(); err != nil {
		return nil, err
	}
	return g.drain()
}

// send sends what there is to send now.
func (g *generator) send(l *load, c *cursor, due *arrivals) error {
	now, n := g.now(), 0
	if l.rate == 0 {
		if g.flying > l.window-l.burst {
			return g.stalled(now)
		}
		for ; n < messagesPerCall && g.flying <= l.window-l.burst; n++ {
			g.load(n, l.burst, c, now)
		}
	} else {
		for ; n < messagesPerCall && due.at <= now; n++ {
			g.tally.late.add(now - due.at)
			g.load(n, 1, c, due.at)
			due.step()
		}
	}
	if n == 0 {
		return nil
	}
	return g.wire.send(n)
}

// load makes message i a burst; since is when it was due.
func (g *generator) load(i, burst int, c *cursor, since time.Duration) {
	source, edns := c.next()
	room, size := g.wire.out[i].room[:], 0
	for k := range burst {
		n := c.ask()
		packet := g.mix.questions[n].packet(edns)
		size = len(packet)
		copy(room[k*size:], packet)
		binary.BigEndian.PutUint16(room[k*size:], g.next)
		w := &g.waiting[g.next]
		if w.since != 0 { // 65,536 queries ago
			g.tally.lost++
			g.flying--
		}
		*w = waiting{since: since, question: n, edns: edns}
		g.next++
		g.flying++
	}
	g.tally.sent += uint64(burst) // #nosec G115 -- at most maxBurst
	g.wire.load(i, source, size, burst)
}

// receive judges what has come.
func (g *generator) receive() error {
	n, err := g.wire.take()
	if err != nil || n == 0 {
		return err
	}
	now := g.now()
	for i := range n {
		g.judge(g.wire.reply(i), now)
	}
	return nil
}

func (g *generator) judge(reply []byte, now time.Duration) {
	if len(reply) < headerSize {
		g.tally.strays++
		return
	}
	w := &g.waiting[binary.BigEndian.Uint16(reply)]
	if w.since == 0 {
		g.tally.strays++
		return
	}
	q := &g.mix.questions[w.question]
	j, cookie := right, false
	if g.watch != nil {
		j, cookie = g.watch.judge(reply, q, w.edns, now)
	} else {
		j, cookie = judge(reply, q, w.edns)
	}
	switch j {
	case right:
		g.tally.right++
	case truncated:
		g.tally.truncated++
	case wrong:
		if g.tally.wrong++; g.tally.wrong == 1 {
			g.tally.firstWrong = fmt.Sprintf("%s type %d, EDNS %t: %x", q.name, q.typ, w.edns, reply)
		}
	}
	if w.edns {
		g.tally.edns++
		if cookie {
			g.tally.cookies++
		}
	}
	g.tally.latency.add(now - w.since)
	w.since = 0
	g.flying--
	g.news, g.stalls = now, 0
}

// errSilent says that a server answers nothing at all.
var errSilent = errors.New("the server answers nothing any more")

// stalled gives the queries in flight up when nothing comes any more.
func (g *generator) stalled(now time.Duration) error {
	if now-g.news < g.patience {
		return nil
	}
	g.giveUp()
	g.news = now
	if g.stalls++; g.stalls >= maxStalls {
		return errSilent
	}
	return nil
}

func (g *generator) giveUp() {
	for i := range g.waiting {
		if g.waiting[i].since != 0 {
			g.waiting[i].since = 0
			g.tally.lost++
		}
	}
	g.flying = 0
}

// drain waits for the last answers.
func (g *generator) drain() (*tally, error) {
	right := g.tally.right
	for end := g.now() + g.patience; g.flying > 0 && g.now() < end; {
		if err := g.receive(); err != nil {
			return nil, err
		}
	}
	g.giveUp()
	out := g.tally
	out.right, out.after = right, out.right-right
	return &out, nil
}

// arrivals are the moments at which queries are due.
type arrivals struct {
	at   time.Duration
	gaps []time.Duration
	i    int
}

func newArrivals(rate float64, from time.Duration) *arrivals {
	a := &arrivals{}
	if rate > 0 {
		r := rand.New(rand.NewPCG(1, 7)) // #nosec G404 -- of a benchmark
		for range 1 << 16 {
			a.gaps = append(a.gaps, time.Duration(math.Round(r.ExpFloat64()*1e9/rate)))
		}
	}
	a.restart(from)
	return a
}

// restart forgets what was due before a moment.
func (a *arrivals) restart(from time.Duration) { a.at = from }

func (a *arrivals) step() {
	a.at += a.gaps[a.i]
	if a.i++; a.i == len(a.gaps) {
		a.i = 0
	}
}
