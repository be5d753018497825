//go:build netns

package clusterlab

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab/links"
)

// webPort is where every backend listens.
const webPort = 8080

// backend is the web server of a region, on a host of its own.
type backend struct {
	host   *links.Host
	server *http.Server
	ended  chan struct{}

	mu   sync.Mutex
	hung chan struct{} // not nil: requests wait until it is closed
}

// revive starts the server if it is killed, and ends a hang.
func (b *backend) revive(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	if b.hung != nil {
		close(b.hung)
		b.hung = nil
	}
	b.mu.Unlock()
	if b.server != nil {
		return
	}
	l, err := b.host.Listen(b.host.Address(), webPort)
	if err != nil {
		t.Fatal(err)
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	b.ended = make(chan struct{})
	go func(s *http.Server, ended chan<- struct{}) {
		defer close(ended)
		_ = s.Serve(l) // it returns when kill closes it
	}(b.server, b.ended)
}

// ServeHTTP answers, or hangs until the backend is revived or killed.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	hung := b.hung
	b.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-r.Context().Done():
			return
		}
	}
	fmt.Fprintln(w, b.host.Name)
}

// kill closes the listener and all connections: new ones are refused.
func (b *backend) kill() {
	if b.server == nil {
		return
	}
	_ = b.server.Close() // what it could not close, the kernel has
	<-b.ended
	b.server = nil
}

// hang makes every request wait.
func (b *backend) hang() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hung == nil {
		b.hung = make(chan struct{})
	}
}

func (b *backend) address() string { return b.host.Address().String() }
