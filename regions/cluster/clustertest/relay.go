package clustertest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Relay is a unix socket that passes bytes on to an etcd, until it is told to
// hold them back: the connection then stays open and silent.
type Relay struct {
	target string
	l      net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	gate  chan struct{} // closed: bytes pass
	conns map[net.Conn]struct{}
}

// NewRelay starts a relay to an endpoint, unix:///path or http://host:port.
func NewRelay(t *testing.T, endpoint string) *Relay {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(ShortDir(t), "relay.sock"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{target: endpoint, l: l, gate: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(r.gate)
	r.wg.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

// Endpoint is the relay's own client URL.
func (r *Relay) Endpoint() string { return "unix://" + r.l.Addr().String() }

// Hold stops all bytes, both ways, without closing anything.
func (r *Relay) Hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = make(chan struct{})
}

// Pass lets the bytes go on.
func (r *Relay) Pass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.gate)
}

// Cut closes every connection; new ones are taken.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

func (r *Relay) close() {
	r.l.Close()
	r.Cut()
	r.mu.Lock()
	select {
	case <-r.gate:
	default:
		close(r.gate)
	}
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *Relay) accept() {
	for {
		in, err := r.l.Accept()
		if err != nil {
			return
		}
		out, err := r.dial()
		if err != nil {
			in.Close()
			continue
		}
		r.mu.Lock()
		r.conns[in], r.conns[out] = struct{}{}, struct{}{}
		r.mu.Unlock()
		r.wg.Go(func() { r.pump(in, out) })
		r.wg.Go(func() { r.pump(out, in) })
	}
}

func (r *Relay) dial() (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(r.target, "unix://"); ok {
		return d.DialContext(context.Background(), "unix", path)
	}
	return d.DialContext(context.Background(), "tcp", strings.TrimPrefix(r.target, "http://"))
}

func (r *Relay) pump(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, from)
		delete(r.conns, to)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		gate := r.gate
		r.mu.Unlock()
		<-gate
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// ShortDir makes a temporary folder whose name leaves room for a socket.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
