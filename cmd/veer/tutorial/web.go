package tutorial

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// mode is how a web server behaves.
type mode string

const (
	well    mode = "well"
	down    mode = "down"    // it refuses connections
	lying   mode = "lying"   // its check fails, while its pages are served
	spoiled mode = "spoiled" // its pages fail, while its check is well
)

// web is a toy web server of a region. Its methods are for one goroutine.
type web struct {
	address string // host:port
	name    string // what its pages tell
	server  *http.Server
	wait    sync.WaitGroup

	mu sync.Mutex
	is mode
	// refuses are the vantages whose probes fail.
	refuses map[string]bool
}

func (w *web) mode() mode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.is
}

// refuse has the probes of a vantage fail, or no more.
func (w *web) refuse(vantage string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuses[vantage] = on
}

func (w *web) refusing(r *http.Request) bool {
	vantage, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refuses[vantage]
}

// become changes how it behaves; it returns when that is so.
func (w *web) become(m mode) error {
	w.mu.Lock()
	w.is = m
	w.mu.Unlock()
	switch {
	case m == down && w.server != nil:
		_ = w.server.Close() // nothing of a toy is worth waiting for
		w.wait.Wait()
		w.server = nil
	case m != down && w.server == nil:
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", w.address)
		if err != nil {
			return fmt.Errorf("start the web server on %s: %w", w.address, err)
		}
		s := &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second}
		w.server = s
		w.wait.Go(func() { _ = s.Serve(l) }) // it ends by Close
	}
	return nil
}

// ServeHTTP is the check on /healthz, and a page on every other path.
func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	m, check := w.mode(), r.URL.Path == "/healthz"
	switch {
	case check && w.refusing(r):
		http.Error(out, "a firewall on the way", http.StatusServiceUnavailable)
	case check && m == lying:
		http.Error(out, "the check cannot reach its database", http.StatusServiceUnavailable)
	case !check && m == spoiled:
		http.Error(out, "the release of today is broken", http.StatusInternalServerError)
	default:
		fmt.Fprintf(out, "hello from %s\n", w.name)
	}
}
