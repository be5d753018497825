//go:build unix

package authority

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// waiter reads from a connection, and takes room only when there is something
// to read; and it writes as much as the system takes at once.
type waiter struct {
	raw           syscall.RawConn
	rooms         *sync.Pool // of *[]byte
	reads, writes func(fd uintptr) bool
	room          *[]byte
	out           []byte
	n             int
	err           error
}

// newWaiter returns nil where the connection is closed already.
func newWaiter(conn *net.TCPConn, rooms *sync.Pool) *waiter {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	w := &waiter{raw: raw, rooms: rooms}
	w.reads, w.writes = w.tryRead, w.tryWrite // made once
	return w
}

// tryRead returns false when there is nothing to read yet.
func (w *waiter) tryRead(fd uintptr) bool {
	w.room = w.rooms.Get().(*[]byte)
	for {
		w.n, w.err = syscall.Read(int(fd), *w.room) // #nosec G115 -- a descriptor
		switch {
		case errors.Is(w.err, syscall.EINTR):
			continue
		case errors.Is(w.err, syscall.EAGAIN):
			w.rooms.Put(w.room)
			w.room = nil
			return false
		}
		return true
	}
}

// read waits for something to read; nil: nothing comes.
func (w *waiter) read() (room *[]byte, n int) {
	err := w.raw.Read(w.reads)
	room, w.room = w.room, nil
	if room == nil {
		return nil, 0
	}
	if err != nil || w.err != nil || w.n <= 0 {
		w.rooms.Put(room)
		return nil, 0
	}
	return room, w.n
}

func (w *waiter) tryWrite(fd uintptr) bool {
	for {
		w.n, w.err = syscall.Write(int(fd), w.out) // #nosec G115 -- a descriptor
		switch {
		case errors.Is(w.err, syscall.EINTR):
			continue
		case errors.Is(w.err, syscall.EAGAIN):
			w.n, w.err = 0, nil
		case w.err == nil && w.n == 0:
			w.err = io.ErrUnexpectedEOF
		}
		return true
	}
}

// write writes what the system takes at once, perhaps nothing.
func (w *waiter) write(out []byte) (n int, err error) {
	w.out = out
	err = w.raw.Write(w.writes)
	w.out = nil
	if err == nil {
		err = w.err
	}
	return max(w.n, 0), err
}

// boundStreams bounds what the system keeps for each connection of a listener,
// which inherit it.
func boundStreams(raw syscall.RawConn) {
	raw.Control(func(fd uintptr) { //nolint:errcheck // the system's own bounds are wider, not wrong
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, streamReadRoom)  //nolint:errcheck // the same
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, streamWriteRoom) //nolint:errcheck // the same
	})
}
