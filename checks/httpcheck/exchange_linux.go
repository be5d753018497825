package httpcheck

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// dial makes r's connection, and asks where it is made at once, as one to this
// host is.
func (e *Engine) dial(r *run, now time.Duration) {
	r.stage, r.dialled, r.sent, r.written = connecting, now, nil, 0
	r.evidence.Address = r.line.dialled
	fd, err := unix.Socket(r.line.route.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		e.fail(r, string(dial.Connecting), os.NewSyscallError("socket", err))
		return
	}
	e.own(r, fd)
	err = unix.Connect(fd, r.line.route.sa)
	if err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		e.fail(r, string(dial.Connecting), os.NewSyscallError("connect", err))
		return
	}
	if !e.connected(r) {
		return
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd), Pad: r.serial}
	if r.stage == connecting {
		event.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(e.poll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		e.fail(r, string(dial.Connecting), os.NewSyscallError("epoll_ctl", err))
	}
}

// own notes whose the descriptor is.
func (e *Engine) own(r *run, fd int) {
	e.serial++
	r.fd, r.serial = fd, e.serial
	for len(e.runs) <= fd {
		e.runs = append(e.runs, nil)
	}
	e.runs[fd] = r
}

// connected asks, if the connection is made, and reports false when there is
// none to be had. Writing tells: a connection that was reset was made before.
func (e *Engine) connected(r *run) bool {
	now := e.now()
	n, err := unix.Write(r.fd, r.line.bytes)
	switch err {
	case unix.EAGAIN, unix.ENOTCONN, unix.EINTR:
		return true
	case nil, unix.ECONNRESET, unix.EPIPE:
	default:
		e.fail(r, string(dial.Connecting), os.NewSyscallError("connect", err))
		return false
	}
	r.evidence.Connect += now - r.dialled
	return e.asked(r, now, n, err)
}

// ask sends the request over a kept connection.
func (e *Engine) ask(r *run, now time.Duration) {
	n, err := unix.Write(r.fd, r.line.bytes)
	if err == unix.EAGAIN || err == unix.EINTR {
		n, err = 0, nil
	}
	e.asked(r, now, n, err)
}

// asked notes that the request was sent, which fits into the socket's buffer
// unless the system has no memory: then Probe's code goes on. It reports
// whether the run is still the engine's.
func (e *Engine) asked(r *run, now time.Duration, n int, err error) bool {
	r.stage, r.asked, r.written = waiting, now, max(n, 0)
	if err != nil {
		r.sent = os.NewSyscallError("write", err)
	} else if n < len(r.line.bytes) {
		if r.used { // another connection, which has room
			e.shed(r)
			r.used = false
			e.dial(r, now)
		} else {
			e.handOver(r, nil, nil)
		}
		return false
	}
	return true
}

// still reports whether nothing came on an idle connection, and closes it
// otherwise: what was not asked for must not be read as an answer.
func (e *Engine) still(r *run) bool {
	if _, err := unix.Read(r.fd, e.scratch[:1]); err == unix.EAGAIN {
		return true
	}
	e.close(r)
	return false
}

// handle sees to an event.
func (e *Engine) handle(event *unix.EpollEvent) {
	fd := int(event.Fd)
	if fd >= len(e.runs) || e.runs[fd] == nil || e.runs[fd].serial != event.Pad {
		return // the bell, or a connection that is closed by now
	}
	r, came := e.runs[fd], event.Events&^unix.EPOLLOUT != 0
	switch r.stage {
	case idling:
		if came {
			e.close(r) // nothing was asked for
		}
		return
	case connecting:
		r.lag += e.lag
		if !e.connected(r) || r.stage == connecting {
			return
		}
		r.lag += e.now() - e.looked // the request was sent so late
	case waiting:
		if came {
			r.lag += e.lag
		}
	}
	if came {
		e.receive(r)
	}
}

// receive reads what came, until all is there or no more is.
func (e *Engine) receive(r *run) {
	for {
		have := copy(e.scratch[:], r.in)
		n, err := unix.Read(r.fd, e.scratch[have:])
		if err == unix.EAGAIN || err == unix.EINTR {
			return // EINTR: of a socket that does not block, never
		}
		now := e.now()
		if n > 0 && r.evidence.FirstByte == 0 {
			r.evidence.FirstByte = max(now-r.asked, 1)
		}
		if n <= 0 {
			e.ended(r, now, e.scratch[:have], err)
			return
		}
		b := e.scratch[:have+n]
		if !e.look(r, now, b, false) {
			return
		}
		if r.reads++; r.reads == maxReads || len(b) == maxRead {
			e.handOver(r, b, nil)
			return
		}
		r.in = bytes.Clone(b)
	}
}

// ended sees to the end of a connection, or its loss.
func (e *Engine) ended(r *run, now time.Duration, b []byte, err error) {
	cause := error(io.EOF)
	if err != nil {
		cause = os.NewSyscallError("read", err)
	}
	switch {
	case len(b) > 0 && err == nil && !e.look(r, now, b, true):
	case len(b) > 0:
		e.handOver(r, b, cause)
	case r.used:
		// The server closed the idle connection: it says nothing of a new one.
		e.shed(r)
		r.used = false
		e.dial(r, now)
	case r.sent != nil:
		e.fail(r, waitingFor, r.sent)
	default:
		e.fail(r, waitingFor, cause)
	}
}

// waitingFor is what is done until the head of an answer is there.
const waitingFor = "waiting for the answer"

// look judges an answer, if it is whole, and reports whether more must come.
func (e *Engine) look(r *run, now time.Duration, b []byte, end bool) (more bool) {
	p := r.line.p
	h, form := parseHead(b, p.c.Method)
	if form == odd {
		e.handOver(r, b, nil)
		return false
	}
	if form == partial {
		return true
	}
	body := b[h.size:]
	whole := h.length >= 0 && len(body) >= h.length || h.length < 0 && end
	if !whole && len(body) <= p.c.MaxBody {
		return true
	}
	clean := true // nothing came behind the answer
	if h.length >= 0 && len(body) > h.length {
		body, clean = body[:h.length], false
	}
	got := answer{status: h.status, proto: h.proto, body: body}
	if len(body) > p.c.MaxBody {
		got.body, got.cut = body[:p.c.MaxBody], true
	}
	result := e.judge(r, now, &got)
	if p.c.KeepAlive && clean && !got.cut && !h.close && r.line.idle == nil {
		r.stage, r.line.idle = idling, r
	}
	e.land(r, result)
	return false
}

func (e *Engine) judge(r *run, now time.Duration, got *answer) checks.Result {
	p, text := r.line.p, statusText(got.status)
	r.evidence.Detail = got.proto + " " + text
	if p.statuses.accept(got.status) && !p.c.Body.any() {
		return r.line.up(text, now-r.began, r.evidence)
	}
	return p.judge(e.attempt(r), got, 0, "")
}

// expire sees to the probes whose time was over when the last look at events
// began, which showed nothing of them.
func (e *Engine) expire(looked time.Duration) {
	for len(e.clocks) > 0 && e.clocks[0].deadline <= looked {
		r := e.clocks[0]
		if at := r.began + r.timeout + min(r.lag, tolerable(r.timeout)); at > looked {
			r.deadline = at
			e.clocks.fix(r)
			continue
		}
		switch {
		case r.stage == connecting:
			e.fail(r, string(dial.Connecting), os.ErrDeadlineExceeded)
		case len(r.in) > 0:
			e.handOver(r, r.in, os.ErrDeadlineExceeded)
		default:
			e.fail(r, waitingFor, os.ErrDeadlineExceeded)
		}
	}
}

// attempt is a probe as it stands.
func (e *Engine) attempt(r *run) *attempt.Attempt {
	a := attempt.Began(r.line.what, e.epoch.Add(r.began))
	a.Evidence = r.evidence
	return a
}

// fail ends a probe.
func (e *Engine) fail(r *run, doing string, err error) {
	if r.stage == connecting {
		r.evidence.Connect += e.now() - r.dialled
	}
	e.land(r, e.attempt(r).Fail(e.ctx, doing, err))
}

// land gives r's result back, and closes r unless it is kept.
func (e *Engine) land(r *run, result checks.Result) {
	e.clocks.remove(r)
	done := r.done
	r.done, r.in = nil, nil
	if r.line.idle != r {
		e.close(r)
		e.free = append(e.free, r)
	}
	done(timely(result, r.lag, r.timeout), r.waited)
}

// close closes r's connection.
func (e *Engine) close(r *run) {
	if r.line.idle == r {
		r.line.idle = nil
	}
	if r.fd < 0 {
		return
	}
	e.runs[r.fd] = nil
	_ = unix.Close(r.fd) // The answer is judged, however the connection ends.
	r.fd = -1
}

// shed closes r's connection for another one.
func (e *Engine) shed(r *run) {
	e.close(r)
	r.in, r.reads = nil, 0
}

// handOver has Probe's code go on with r, b of whose answer came; end, if not
// nil, is what comes behind that.
func (e *Engine) handOver(r *run, b []byte, end error) {
	e.clocks.remove(r)
	// Closing does not do it while another descriptor of the connection lives.
	_ = unix.EpollCtl(e.poll, unix.EPOLL_CTL_DEL, r.fd, nil) // one that was not added yet need not be taken out
	e.runs[r.fd] = nil
	file := os.NewFile(uintptr(r.fd), r.line.dialled)
	r.fd = -1
	if end == nil {
		r.line.others.Store(othersAfter)
		if idle := r.line.idle; idle != nil { // Probe keeps its own
			e.close(idle)
		}
	}
	conn := &resumed{written: r.written, sent: r.sent, read: bytes.Clone(b), end: end}
	a := e.attempt(r)
	e.goOn(e.ctx, r.began+r.timeout+min(r.lag, tolerable(r.timeout))-e.now(), func(ctx context.Context) {
		made, err := net.FileConn(file)
		_ = file.Close() // made is a copy.
		if err != nil {
			r.done(a.Fail(ctx, waitingFor, err), r.waited)
			return
		}
		conn.Conn = dial.Bind(ctx, made)
		r.done(timely(r.line.p.resume(ctx, a, r.line.request, conn), r.lag, r.timeout), r.waited)
	})
}
