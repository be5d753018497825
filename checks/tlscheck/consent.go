package tlscheck

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"time"
)

// minGrace is the least time that a server has to refuse the client's
// certificate.
const minGrace = 100 * time.Millisecond

// consent learns whether the server accepts the client's certificate. In TLS
// 1.3 the client's handshake is over before the server has seen it (RFC 8446
// section 2): a refusal comes later, as an alert; a ticket, or data, means
// that the server went on. A server that does none of these in the time of a
// few round trips has accepted.
type consent struct {
	own   []tls.Certificate
	asked bool
	conn  *tls.Conn // to wake once a ticket came
	came  bool
}

// hook makes config tell consent of what the server does.
func (c *consent) hook(config *tls.Config) *tls.Config {
	config.ClientSessionCache = c // Without one, no server sends a ticket.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c.asked = true
		if len(c.own) == 0 {
			return new(tls.Certificate), nil // None, which the server may allow.
		}
		return &c.own[0], nil
	}
	return config
}

// Get implements tls.ClientSessionCache: no session is taken up again.
func (c *consent) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put implements tls.ClientSessionCache. It is called within the handshake or
// a Read, when a ticket came.
func (c *consent) Put(string, *tls.ClientSessionState) {
	c.came = true
	if c.conn != nil {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // The Read has nothing more to wait for.
	}
}

// await returns nil once the server has accepted. It takes at most half of
// the time that ctx has left.
func (c *consent) await(ctx context.Context, conn *tls.Conn, handshake time.Duration) error {
	if !c.asked || c.came || conn.ConnectionState().Version < tls.VersionTLS13 {
		return nil
	}
	grace := max(minGrace, 3*handshake)
	if deadline, ok := ctx.Deadline(); ok {
		grace = min(grace, time.Until(deadline)/2)
	}
	c.conn = conn
	if err := conn.SetReadDeadline(time.Now().Add(grace)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // Its end may have come before the deadline was set.
	}
	n, err := conn.Read(make([]byte, 1))
	if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}
