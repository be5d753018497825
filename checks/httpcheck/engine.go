package httpcheck

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// Engine runs probes of many Probers in the one goroutine that calls Run, where
// a goroutine, a context and a net.Conn for each cost more than the probe. It
// does what is plain: HTTP/1.1 without TLS, to an address, without a redirect
// to follow or a secret to read. What comes back is judged as Probe judges it;
// an answer that is not plain is read on by the code of Probe, in a goroutine
// that Run waits for. It works on Linux; elsewhere it takes nothing.
//
// What the engine's own lateness took of a probe's time is given back to it,
// and a probe that was handled so late that its result would tell of this
// host is unknown. An endpoint has run out of time only when nothing had come
// from it after that.
type Engine struct {
	epoch time.Time

	mu     sync.Mutex
	inbox  []order
	asleep bool // Run waits, and must be woken for what comes into the inbox
	over   bool // nothing is taken any more
	wake   func()

	wg sync.WaitGroup // probes that Probe's code goes on with
	machine
}

// NewEngine makes an engine that does nothing before Run.
func NewEngine() *Engine { return &Engine{epoch: time.Now()} }

// now is the time since the engine was made.
func (e *Engine) now() time.Duration { return time.Since(e.epoch) }

// order is a probe that was handed over and has not begun.
type order struct {
	line    *line
	at      time.Duration
	timeout time.Duration
	land    func(checks.Result, time.Duration)
}

// Starter hands probes of one target over to an engine.
type Starter struct {
	engine *Engine
	line   *line
}

// line is all that the engine knows of a target and its Prober.
type line struct {
	p       *Prober
	request *request
	bytes   []byte // of the request
	what    string // that reasons start with
	address netip.AddrPort
	dialled string
	route   route
	idle    *run // a connection that is kept for the next probe
	// others is how many of the next probes are Probe's, since the endpoint's
	// answers are not plain.
	others atomic.Int32
}

// othersAfter is how many probes Probe runs after an answer that was not plain.
const othersAfter = 64

// maxRequest is the longest request that an engine sends: what surely fits
// into a socket's buffer.
const maxRequest = 4 << 10

// maxWhat bounds the start of reasons, so that none has to be cut.
const maxWhat = 300

// Starter returns what starts p's probes of t on e, or nil where they need
// more than an engine does.
func (e *Engine) Starter(p *Prober, t checks.Target) *Starter {
	address, err := netip.ParseAddr(t.Host)
	if err != nil || address.Zone() != "" || !engines || !p.plain() {
		return nil
	}
	r := p.first(t)
	l := &line{p: p, request: r, what: r.describe(p.c), address: netip.AddrPortFrom(address.Unmap(), r.port)}
	l.dialled = l.address.String()
	var out bytes.Buffer
	if err := p.build(r, "").Write(&out); err != nil || out.Len() > maxRequest {
		return nil
	}
	if len(l.what) > maxWhat || attempt.Clip(l.what, maxWhat) != l.what {
		return nil
	}
	l.bytes = out.Bytes()
	l.route.to(l.address)
	return &Starter{engine: e, line: l}
}

// plain reports whether p's probes are what an engine does.
func (p *Prober) plain() bool {
	c := &p.c
	return c.Scheme == "http" && c.Version != "2" && c.Redirects == 0 && (c.Method == "GET" || c.Method == "HEAD") &&
		c.Bearer == (Secret{}) && c.Basic == (Basic{}) && !strings.Contains(c.Host, "%")
}

// Start hands a probe over, as Probe with a context of timeout, and reports
// whether it did; if not, the caller calls Probe. Start does not wait. Land is
// called once, by any goroutine, with the result and the time from Start to the
// beginning of the probe; it must not wait. It is not called after Run.
func (s *Starter) Start(timeout time.Duration, land func(checks.Result, time.Duration)) bool {
	if n := s.line.others.Load(); n > 0 {
		s.line.others.CompareAndSwap(n, n-1) // one more or less does no harm
		return false
	}
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return false
	}
	e.inbox = append(e.inbox, order{line: s.line, at: e.now(), timeout: timeout, land: land})
	if e.asleep {
		e.asleep = false
		e.wake()
	}
	return true
}

// end takes nothing any more, and wakes Run.
func (e *Engine) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	if e.wake != nil {
		e.wake()
	}
}

// minLag and lagPart bound how late what came may be looked at: later than
// both, the result is unknown.
const (
	minLag  = 100 * time.Millisecond
	lagPart = 4 // of the time-out
	// usualLag is what a round of the engine may take.
	usualLag = 5 * time.Millisecond
	// waitPart is the part of its time-out that a probe may wait to begin; more,
	// and it is unknown.
	waitPart = 2
)

// tolerable is the most of a probe's time that the engine may have taken.
func tolerable(timeout time.Duration) time.Duration { return max(minLag, timeout/lagPart) }

// timely makes a result that came of lag unknown. The latency is the
// endpoint's: lag that is more than the usual is no part of it. Lag is counted
// generously, so no latency falls below the usual lag by it.
func timely(r checks.Result, lag, timeout time.Duration) checks.Result {
	if lag > usualLag {
		r.Latency = min(r.Latency, max(r.Latency-lag, usualLag))
	}
	if lag <= tolerable(timeout) || r.Health == checks.Unknown {
		return r
	}
	r.Health = checks.Unknown
	r.Reason = attempt.Clip("this vantage was busy and saw to the probe "+attempt.Duration(lag)+" late, so that it says nothing of the endpoint: "+r.Reason, 600)
	return r
}

// up makes the result of an answer whose status is as expected, where no more
// is: what judge makes, at a tenth of its cost.
func (l *line) up(text string, latency time.Duration, ev checks.Evidence) checks.Result {
	return checks.Result{
		Health: checks.Up, Latency: latency, Evidence: ev,
		Reason: l.what + " answered " + text + " after " + attempt.Duration(latency),
	}
}

// goOn has Probe's code go on with a probe for the time that is left.
func (e *Engine) goOn(ctx context.Context, left time.Duration, f func(context.Context)) {
	e.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		f(ctx)
	})
}
