//go:build !linux || !(amd64 || arm64)

package authority

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// batches says whether this system takes many packets with one call.
const batches = false

// shared returns the sockets that share an address: here, the first alone.
func shared(first *net.UDPConn, _ string, _ netip.AddrPort, _ binder) ([]*net.UDPConn, error) {
	return []*net.UDPConn{first}, nil
}

// widenPast asks for more room than the system allows everybody: here, never.
func widenPast(*net.UDPConn) {}

// inOnePiece lets no answer be cut into fragments: here, as the system likes.
func inOnePiece(*net.UDPConn) {}

func (s *Server) batchLoop(context.Context, *net.UDPConn, bool, *counter) func() error {
	return func() error { return errors.New("this system takes no batches") } // never called: batches is false
}
