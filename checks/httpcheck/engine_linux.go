package httpcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// engines: an engine takes probes on this system.
const engines = true

const (
	// maxEvents is how many events are taken from the system at once.
	maxEvents = 256
	// maxBegun is how many probes begin between two looks at events, so that
	// these are not looked at late.
	maxBegun = 32
	// maxRead is how much of an answer an engine holds, maxReads how often it
	// reads for one: a longer answer, and one that comes in bits, is not plain.
	maxRead  = 16 << 10
	maxReads = 4
	// With as many as gathering probes under way, the engine lets events gather
	// for a nap before it looks at them: it is woken once for several. That is
	// what the latencies that it measures may then be long.
	gathering = 8
	nap       = 500 * time.Microsecond
	// maxWait is how long to wait for events while probes are under way, in
	// milliseconds: an engine that is woken late knows it, up to this.
	maxWait = 20
)

// machine is what Run works with. Only Run touches it.
type machine struct {
	poll    int // epoll(7)
	bell    int // eventfd(2)
	events  [maxEvents]unix.EpollEvent
	scratch [maxRead]byte
	runs    []*run // by descriptor
	clocks  clocks // of probes under way
	orders  []order
	spare   []order // what orders is a part of
	free    []*run  // to be used again
	serial  int32
	// looked is when the last look at events ended, lag how long one that it
	// showed may have waited for being looked at.
	looked, lag time.Duration
	ctx         context.Context
}

// stage is how far a run is.
type stage uint8

const (
	connecting stage = iota
	waiting          // for the answer, and then for more of it
	idling           // kept for the next probe
)

// run is a connection: a probe under way, or one that is kept.
type run struct {
	line   *line
	done   func(checks.Result, time.Duration)
	fd     int
	serial int32
	stage  stage
	used   bool // another probe used the connection before

	waited, timeout, began time.Duration
	deadline               time.Duration // by began, timeout and lag
	place                  int           // among the clocks; -1: none
	dialled, asked         time.Duration // when
	lag                    time.Duration // how late the run was seen to, in all

	evidence checks.Evidence
	written  int
	sent     error  // of writing the request
	in       []byte // of the answer, while there is more to come
	reads    int
}

// route is where a line leads.
type route struct {
	family int
	sa     unix.Sockaddr
}

func (r *route) to(a netip.AddrPort) {
	if a.Addr().Is4() {
		r.family, r.sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
		return
	}
	r.family, r.sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// Run runs the probes that Starters hand over until ctx ends, and drops what is
// under way then. An error says that the system gave no way to wait for many
// connections: then every probe that was handed over is unknown, and Start
// refuses. Run must be called at most once.
func (e *Engine) Run(ctx context.Context) error {
	// The thread waits in the system call, not the runtime for a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	handed, drop := context.WithCancel(ctx)
	defer e.wg.Wait()
	defer drop()
	e.ctx = handed
	err := e.open()
	if err == nil {
		stop := context.AfterFunc(ctx, e.end)
		defer stop()
		err = e.loop(ctx)
	}
	e.shut(err)
	return err
}

func (e *Engine) open() (err error) {
	e.poll, e.bell = -1, -1
	if e.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if e.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if err = unix.EpollCtl(e.poll, unix.EPOLL_CTL_ADD, e.bell, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(e.bell)}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	e.wake = func() { _, _ = unix.Write(e.bell, one) } // a counter that is full wakes as well
	return nil
}

// shut closes everything. With an error, what was handed over is unknown.
func (e *Engine) shut(err error) {
	e.mu.Lock()
	e.over, e.wake = true, nil
	orders := append(e.orders, e.inbox...)
	e.inbox, e.orders = nil, nil
	e.mu.Unlock()
	for _, r := range e.runs {
		if r == nil {
			continue
		}
		if err != nil && r.stage != idling {
			e.land(r, e.attempt(r).End(checks.Unknown, "could not be tried, by this host's own trouble: %v", err))
			continue
		}
		e.close(r)
	}
	for _, o := range orders {
		if err != nil {
			o.land(attempt.Begin(o.line.what).End(checks.Unknown, "could not be tried, by this host's own trouble: %v", err), 0)
		}
	}
	for _, fd := range []int{e.poll, e.bell} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing was written that could be lost
		}
	}
}

func (e *Engine) loop(ctx context.Context) error {
	e.looked = e.now()
	full := fullLooks{}
	for {
		if len(e.clocks) >= gathering && len(e.orders) == 0 {
			short := unix.NsecToTimespec(int64(nap))
			_ = unix.Nanosleep(&short, nil) // a nap that ends early does no harm
		}
		wait := e.pause(e.now())
		began := e.now()
		e.lag = began - e.looked
		n, err := unix.EpollWait(e.poll, e.events[:], wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for %d connections: %w", len(e.clocks), err)
		}
		if ctx.Err() != nil {
			return nil
		}
		e.looked = e.now()
		if wait >= 0 { // what is longer than it wanted, it was not woken
			e.lag += max(e.looked-began-time.Duration(wait)*time.Millisecond, 0)
		}
		for i := range max(n, 0) {
			e.handle(&e.events[i])
		}
		if at, ok := full.shown(n, began, len(e.clocks)); ok {
			e.expire(at)
		}
		e.begin()
	}
}

// fullLooks counts looks in a row that were full, and may have left events out.
type fullLooks struct {
	since time.Duration // when the first of them began
	n     int
}

// shown tells until when everything that came has been seen, after a look that
// began then and showed n events of as many probes under way. What waits is
// shown first in, first out, so that some full looks together show all.
func (f *fullLooks) shown(n int, began time.Duration, probes int) (time.Duration, bool) {
	switch {
	case n < 0:
		return 0, false // interrupted
	case n < maxEvents:
		f.n = 0
		return began, true
	case f.n == 0:
		f.since = began
	}
	if f.n++; f.n <= probes/maxEvents+1 {
		return 0, false
	}
	f.n = 0
	return f.since, true
}

// pause is how long to wait for events, in milliseconds; -1: until one comes.
func (e *Engine) pause(now time.Duration) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.orders) == 0 {
		e.orders, e.inbox, e.spare = e.inbox, e.spare[:0], e.inbox
	} else {
		e.orders = append(e.orders, e.inbox...)
		clear(e.inbox)
		e.inbox = e.inbox[:0]
	}
	if len(e.orders) > 0 || e.over {
		return 0
	}
	e.asleep = true
	if len(e.clocks) == 0 {
		return -1
	}
	left := e.clocks[0].deadline - now
	return int(min(max((left+time.Millisecond-1)/time.Millisecond, 0), maxWait))
}

// begin begins some of the probes that were handed over.
func (e *Engine) begin() {
	n := min(len(e.orders), maxBegun)
	for _, o := range e.orders[:n] {
		now := e.now()
		if now-o.at > o.timeout/waitPart {
			o.land(attempt.Begin(o.line.what).End(checks.Unknown, "was not begun for %s, since this vantage was busy; this says nothing of the endpoint", attempt.Duration(now-o.at)), now-o.at)
			continue
		}
		r := o.line.idle
		o.line.idle = nil
		if r == nil || !e.still(r) {
			r = e.fresh()
			r.line = o.line
		}
		r.done, r.began, r.waited, r.timeout, r.deadline = o.land, now, now-o.at, o.timeout, now+o.timeout
		r.evidence, r.lag, r.in, r.reads = checks.Evidence{}, 0, nil, 0
		e.clocks.add(r)
		if r.used = r.fd >= 0; r.used {
			e.ask(r, now)
		} else {
			e.dial(r, now)
		}
		if r.place >= 0 { // what it took to send is not the endpoint's
			r.lag += e.now() - now
		}
	}
	clear(e.orders[:n])
	e.orders = e.orders[n:]
}

// fresh returns a run that is nobody's.
func (e *Engine) fresh() *run {
	if last := len(e.free) - 1; last >= 0 {
		r := e.free[last]
		e.free = e.free[:last]
		return r
	}
	return &run{fd: -1, place: -1}
}
