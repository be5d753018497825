package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/veerdns/veer/checks"
)

// HoldDialTimeout bounds how long a watcher waits for its connection.
const HoldDialTimeout = 5 * time.Second

// maxUnasked is how many bytes a peer may send on a held connection: enough
// for a banner or a farewell such as 408 Request Timeout.
const maxUnasked = 64 << 10

// Watch connects to the target over TCP, or over TLS where secure is not nil,
// and holds the connection open: it returns when the connection is lost or
// could not be had, with a sentence why, and nil when ctx ended.
func (d Dialer) Watch(ctx context.Context, t checks.Target, port uint16, secure *tls.Config) error {
	conn, err := d.DialToHold(ctx, t, port, secure)
	switch {
	case ctx.Err() != nil && conn != nil:
		_ = conn.Close() // Nobody waits for it any more.
		return nil
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("no connection to watch %s could be had: %w", t.Name, err)
	}
	return hold(ctx, conn)
}

// DialToHold makes a connection as Watch does, within HoldDialTimeout, that
// then lives on until it is closed. TCP keep-alives find a peer whose host is
// gone, in about five seconds.
func (d Dialer) DialToHold(ctx context.Context, t checks.Target, port uint16, secure *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, HoldDialTimeout)
	defer cancel()
	var evidence checks.Evidence
	conn, err := d.Dial(ctx, "tcp", t, port, &evidence)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		if conn, err = TLS(ctx, conn, secure, &evidence); err != nil {
			return nil, err
		}
	}
	if err := keepAlive(conn); err != nil {
		_ = conn.Close() // Nothing was written that could be lost.
		return nil, err
	}
	if !Release(conn) {
		_ = conn.Close() // Its deadline has passed; it is of no use.
		return nil, context.DeadlineExceeded
	}
	return conn, nil
}

// hold keeps conn open without sending a byte until it is lost, and says how;
// it returns nil when ctx ended. It closes conn.
func hold(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		_ = conn.Close() // Nothing was written that could be lost.
	}()
	buffer, unasked := make([]byte, 512), 0
	for {
		n, err := conn.Read(buffer)
		if ctx.Err() != nil {
			return nil
		}
		unasked += n
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s closed the watched connection", conn.RemoteAddr())
		case err != nil:
			return fmt.Errorf("the watched connection to %s was lost: %w", conn.RemoteAddr(), err)
		case unasked > maxUnasked:
			return fmt.Errorf("%s sent more than %d bytes unasked on the watched connection", conn.RemoteAddr(), maxUnasked)
		}
	}
}

// keepAlive turns TCP keep-alives on, below any wrappers.
func keepAlive(conn net.Conn) error {
	for {
		switch c := conn.(type) {
		case *net.TCPConn:
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3})
		case *bound:
			conn = c.Conn
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}
