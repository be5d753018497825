package httpcheck

import (
	"context"
	"net"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// resumed is a connection on which an exchange was begun elsewhere: what was
// written then is not written again, and what was read then is read first.
type resumed struct {
	net.Conn
	written int    // bytes of the request
	sent    error  // of writing it
	read    []byte // of the answer
	end     error  // of reading it
}

// Write writes what was not written yet.
func (r *resumed) Write(b []byte) (int, error) {
	if r.sent != nil {
		return 0, r.sent
	}
	skip := min(r.written, len(b))
	r.written -= skip
	if skip == len(b) {
		return skip, nil
	}
	n, err := r.Conn.Write(b[skip:])
	return skip + n, err
}

// Read reads what came already, then what comes.
func (r *resumed) Read(b []byte) (int, error) {
	if len(r.read) > 0 {
		n := copy(b, r.read)
		r.read = r.read[n:]
		return n, nil
	}
	if r.end != nil {
		return 0, r.end
	}
	return r.Conn.Read(b)
}

// resume goes on with the exchange of a probe that follows no redirect.
func (p *Prober) resume(ctx context.Context, a *attempt.Attempt, r *request, conn *resumed) checks.Result {
	first := a.Evidence.FirstByte
	got, _, doing, err := p.converse(ctx, a, &link{conn: conn, plain: &plain{conn: conn}}, r, "")
	if first > 0 {
		a.Evidence.FirstByte = first
	}
	if err != nil {
		return a.Fail(ctx, doing, err)
	}
	a.Evidence.Detail = got.proto + " " + statusText(got.status)
	return p.judge(a, got, 0, "")
}
