//go:build !unix

package authority

import (
	"net"
	"sync"
	"syscall"
)

// waiter is what other systems have: here, a connection waits with a little
// room of its own.
type waiter struct{}

func newWaiter(*net.TCPConn, *sync.Pool) *waiter { return nil }

func (*waiter) read() (room *[]byte, n int)     { return nil, 0 }
func (*waiter) write([]byte) (n int, err error) { return 0, nil }

// boundStreams leaves the system its own bounds.
func boundStreams(syscall.RawConn) {}
