// Package dial connects to targets and measures the phases of it: resolving,
// connecting, the TLS handshake. It also holds connections open for watchers.
//
// Everything here ends soon after its context does. Its functions are safe
// for concurrent use.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/veerdns/veer/checks"
)

// maxAddresses is how many addresses of a name are tried, in the resolver's
// order.
const maxAddresses = 8

// Resolver turns a host name into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dialer connects to targets. A nil Resolver is the system's.
type Dialer struct {
	Resolver Resolver
}

// Phase is what an attempt was doing when it failed, as a gerund.
type Phase string

// The phases that a dial goes through.
const (
	Resolving  Phase = "resolving the host name"
	Connecting Phase = "connecting"
	Securing   Phase = "in the TLS handshake"
)

// Error says in which phase a dial failed.
type Error struct {
	Phase Phase
	Err   error
}

// Error returns the phase and the cause.
func (e *Error) Error() string { return string(e.Phase) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Dial connects to the target over network ("tcp" or "udp") and notes in ev
// the address dialled and the time that resolving and connecting took. Port
// stands for the target's when that is 0. Addresses of a name are tried one
// after the other until one accepts; each gets an equal share of the time
// left. The error is an *Error. The connection ends with ctx.
func (d Dialer) Dial(ctx context.Context, network string, t checks.Target, port uint16, ev *checks.Evidence) (net.Conn, error) {
	if t.Port != 0 {
		port = t.Port
	}
	if port == 0 {
		return nil, &Error{Connecting, fmt.Errorf("%w: target %s has no port", ErrConfig, t.Name)}
	}
	addresses, err := d.Resolve(ctx, t.Host, ev)
	if err != nil {
		return nil, &Error{Resolving, err}
	}
	start := time.Now()
	defer func() { ev.Connect += time.Since(start) }()
	for i, address := range addresses {
		ev.Address = netip.AddrPortFrom(address, port).String()
		var conn net.Conn
		if conn, err = connect(ctx, network, ev.Address, len(addresses)-i); err == nil {
			return bind(ctx, conn), nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &Error{Connecting, err}
}

// ErrConfig marks a failure that only a change of the config can mend.
var ErrConfig = errors.New("the config is not complete")

// Resolve returns the addresses of a name, at most eight in the resolver's order,
// or the address that host is, and notes in ev the time that it took.
func (d Dialer) Resolve(ctx context.Context, host string, ev *checks.Evidence) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address.Unmap()}, nil
	}
	var resolver Resolver = net.DefaultResolver
	if d.Resolver != nil {
		resolver = d.Resolver
	}
	start := time.Now()
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	ev.Resolve += time.Since(start)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no address", strconv.Quote(host))
	}
	addresses := make([]netip.Addr, 0, maxAddresses)
	for _, address := range found[:min(len(found), maxAddresses)] {
		addresses = append(addresses, address.Unmap())
	}
	return addresses, nil
}

// connect dials one of the addresses left, within its share of the time.
func connect(ctx context.Context, network, address string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
		ctx = share
	}
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, address)
}

// Bind makes every read and write of a connection that was made elsewhere fail
// once ctx has ended, as those of Dial do.
func Bind(ctx context.Context, conn net.Conn) net.Conn { return bind(ctx, conn) }

// bind makes every read and write of conn fail once ctx has ended.
func bind(ctx context.Context, conn net.Conn) net.Conn {
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // A closed connection needs no deadline.
	})
	return &bound{Conn: conn, stop: stop}
}

// bound is a connection that ends with a context.
type bound struct {
	net.Conn
	stop func() bool
}

// Close closes the connection and lets go of the context.
func (b *bound) Close() error {
	b.stop()
	return b.Conn.Close()
}

// Release frees a connection that Dial returned from its context, so that it
// can outlive the probe, and reports whether the context had not ended yet.
func Release(conn net.Conn) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	b, ok := conn.(*bound)
	return ok && b.stop()
}

// Rebind makes a connection that Release freed end with another context.
func Rebind(ctx context.Context, conn net.Conn) {
	if b, ok := conn.(*bound); ok {
		b.stop = context.AfterFunc(ctx, func() { _ = b.Conn.SetDeadline(time.Unix(1, 0)) })
	}
}

// TLS runs the handshake of config over conn and notes in ev the time it
// took. It closes conn when it fails; the error is an *Error.
func TLS(ctx context.Context, conn net.Conn, config *tls.Config, ev *checks.Evidence) (*tls.Conn, error) {
	start := time.Now()
	defer func() { ev.TLS += time.Since(start) }()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // The handshake's error is the one that counts.
		return nil, &Error{Securing, err}
	}
	return secure, nil
}
