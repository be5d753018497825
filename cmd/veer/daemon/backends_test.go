package daemon_test

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// backend is a small web server that can be taken down and brought up again.
type backend struct {
	address string
	server  *http.Server
	// slow is how long it takes to answer a path; nil: no time.
	slow atomic.Pointer[func(path string) time.Duration]
}

// openBackends listens on one port that is free on all three addresses.
func (l *lab) openBackends() {
	for range 50 {
		first, err := net.Listen("tcp", "127.0.0.11:0")
		if err != nil {
			l.t.Fatal(err)
		}
		l.port = first.Addr().(*net.TCPAddr).Port
		listeners := []net.Listener{first}
		for _, host := range []string{"127.0.0.12", "127.0.0.13"} {
			next, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, l.port))
			if err != nil {
				break
			}
			listeners = append(listeners, next)
		}
		if len(listeners) == 3 {
			for i, ln := range listeners {
				host := fmt.Sprintf("127.0.0.1%d", i+1)
				l.backends[host] = &backend{address: ln.Addr().String()}
				l.backends[host].serve(ln)
			}
			l.t.Cleanup(func() {
				for host := range l.backends {
					l.down(host)
				}
			})
			return
		}
		for _, ln := range listeners {
			_ = ln.Close()
		}
	}
	l.t.Fatal("no port is free on 127.0.0.11, .12 and .13")
}

func (b *backend) serve(ln net.Listener) {
	b.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slow := b.slow.Load(); slow != nil {
			select {
			case <-time.After((*slow)(r.URL.Path)):
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(http.StatusOK)
	})}
	server := b.server
	go func() { _ = server.Serve(ln) }() // ends with Close
}

// down closes a backend: connections to it are refused.
func (l *lab) down(host string) {
	b := l.backends[host]
	if b.server != nil {
		_ = b.server.Close()
		b.server = nil
	}
}

// up opens a backend again, on its old port.
func (l *lab) up(host string) {
	b := l.backends[host]
	if b.server != nil {
		return
	}
	ln, err := net.Listen("tcp", b.address)
	if err != nil {
		l.t.Fatal(err)
	}
	b.serve(ln)
}
