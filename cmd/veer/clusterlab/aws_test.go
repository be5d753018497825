//go:build netns

package clusterlab

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/providers/route53/route53test"
)

// awsPort is where the emulated Route 53 listens.
const awsPort = 8053

// aws is the emulated Route 53, and before it a gate.
type aws struct {
	gate
	emulator *route53test.Server
	server   *http.Server
	ended    chan struct{}
	readings readings
}

// readings are who is in the middle of a reading of the zone: it ends with the
// fence, once more.
type readings struct {
	mu     sync.Mutex
	listed map[string]bool // by the reader's address
}

// last reports whether this is the last request of a reading.
func (r *readings) last(from string, fence bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listed == nil {
		r.listed = map[string]bool{}
	}
	last := fence && r.listed[from]
	r.listed[from] = !fence
	return last
}

func newAWS(t *testing.T, listen func() (net.Listener, error)) *aws {
	t.Helper()
	emulator, err := route53test.New(route53test.Options{
		Zones:   []route53test.Zone{{ID: route53test.ZoneID, Name: "example.com"}},
		Without: []route53test.Rule{route53test.ThrottleAccount, route53test.ThrottleAction},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	a := &aws{emulator: emulator, ended: make(chan struct{})}
	a.name, a.gate.app = "Route 53", a.addresses
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: time.Minute, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, &connection{made: time.Now()})
	}}
	go func() {
		defer close(a.ended)
		_ = a.server.Serve(l) // it returns when close closes it
	}()
	return a
}

// connKey is where a request's context has its connection.
type connKey struct{}

// connection is one that a client has made. Its requests come one at a time.
type connection struct {
	made time.Time
	used bool
}

// waited reports whether the first request came long after the connection.
func (c *connection) waited() bool {
	first := !c.used
	c.used = true
	return first && time.Since(c.made) > longAgo
}

func (a *aws) close() {
	a.open()
	_ = a.server.Close() // nothing of it outlives the test
	<-a.ended
}

func (a *aws) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		panic(err)
	}
	waited := r.Context().Value(connKey{}).(*connection).waited()
	reply := httptest.NewRecorder()
	if route53test.Writes(r) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return // the writer is gone before all was sent
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.pass(arrival{from: from, fence: fenceOf(string(body)), dialled: waited}, func() bool {
			a.emulator.ServeHTTP(reply, r)
			return reply.Code == http.StatusOK
		})
	} else {
		a.emulator.ServeHTTP(reply, r)
		if strings.HasSuffix(r.URL.Path, "/rrset") && a.readings.last(from, strings.HasPrefix(r.URL.Query().Get("name"), "_veer-fence.")) {
			if h := a.take(from, lastRead); h != nil {
				h.wait()
				close(h.done)
			}
		}
	}
	maps.Copy(w.Header(), reply.Header())
	w.WriteHeader(reply.Code)
	_, _ = w.Write(reply.Body.Bytes()) // that the writer is gone is what is tested
}

// addresses are those of the service now.
func (a *aws) addresses() []string {
	var out []string
	for _, set := range a.emulator.All(route53test.ZoneID) {
		if set.Name == "app.example.com." && set.Type == "A" {
			for _, v := range set.ResourceRecords {
				out = append(out, v.Value)
			}
		}
	}
	slices.Sort(out)
	return out
}
