package sqlcheck

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// maxReceived bounds what a server may send over one connection, in bytes.
const maxReceived = 1 << 20

// spareRows is how many rows beyond those needed are read to see the end of a
// result, after which a connection can be left in good order. What is left of
// a longer one dies with the connection.
const spareRows = 32

// errTooMuch ends a connection over which too much came.
var errTooMuch = errors.New("the endpoint sent more than 1 MiB")

// wire is a connection below a driver: it bounds what comes, and keeps what
// drivers drop, the first error and when the first byte came.
type wire struct {
	net.Conn
	began time.Time

	mu    sync.Mutex
	left  int
	first time.Duration // until something came
	wrote time.Duration // until something was sent
	err   error
}

func newWire(conn net.Conn) *wire {
	return &wire{Conn: conn, began: time.Now(), left: maxReceived}
}

// Read reads at most what is left.
func (w *wire) Read(b []byte) (int, error) {
	w.mu.Lock()
	left := w.left
	w.mu.Unlock()
	if left == 0 {
		return 0, w.note(0, errTooMuch)
	}
	n, err := w.Conn.Read(b[:min(len(b), left)])
	return n, w.note(n, err)
}

// Write keeps the first error.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	if w.wrote == 0 {
		w.wrote = time.Since(w.began)
	}
	w.mu.Unlock()
	n, err := w.Conn.Write(b)
	return n, w.note(0, err)
}

func (w *wire) note(received int, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left -= received
	if received > 0 && w.first == 0 {
		w.first = time.Since(w.began)
	}
	if err != nil && w.err == nil {
		w.err = err
	}
	return err
}

// failure is the first error of reading or writing, or nil. A connection that
// we closed ourselves has not failed.
func (w *wire) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, net.ErrClosed) || errors.Is(w.err, io.ErrClosedPipe) {
		return nil
	}
	return w.err
}

func (w *wire) firstByte() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

// sinceWrite is the time since the first byte was sent.
func (w *wire) sinceWrite() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.began) - w.wrote
}
