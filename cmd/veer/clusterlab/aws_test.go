//go:build netns

package clusterlab

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// awsPort is where the emulated Route 53 listens.
const awsPort = 8053

// aws is the emulated Route 53, and before it a gate that notes every write
// and can hold one.
type aws struct {
	emulator *route53test.Server
	server   *http.Server
	ended    chan struct{}

	// writing makes one write at a time, so that effects are noted in their
	// order.
	writing sync.Mutex

	mu      sync.Mutex
	effects []effect
	refused int              // writes of the zone; not the proofs of the swap
	holds   map[string]*hold // by the writer's address
	// unfenced: a write that was held takes effect whatever the fence is: a
	// planted fault.
	unfenced bool
}

// effect is a write that was done.
type effect struct {
	at    time.Time
	from  string // the writer's address
	fence providers.Fence
	// app are the addresses that the service has since.
	app []string
}

// hold stops the next write of a host, before or after it takes effect.
type hold struct {
	before bool
	caught chan struct{} // closed when the write has come
	free   chan struct{} // closed to let it go on
	// done is closed when it went on and what came of it is known.
	done chan struct{}
	// accepted is valid once done is closed.
	accepted bool
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
	a := &aws{emulator: emulator, ended: make(chan struct{}), holds: map[string]*hold{}}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(a.ended)
		_ = a.server.Serve(l) // it returns when close closes it
	}()
	return a
}

func (a *aws) close() {
	a.mu.Lock()
	for _, h := range a.holds {
		h.release()
	}
	a.mu.Unlock()
	_ = a.server.Close() // nothing of it outlives the test
	<-a.ended
}

// hold holds the next write from an address.
func (a *aws) hold(address string, before bool) *hold {
	h := &hold{before: before, caught: make(chan struct{}), free: make(chan struct{}), done: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.holds[address] = h
	return h
}

// release lets the held write go on. It may be called again.
func (h *hold) release() {
	select {
	case <-h.free:
	default:
		close(h.free)
	}
}

func (a *aws) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !route53test.Writes(r) {
		a.emulator.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the writer is gone before all was sent
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		panic(err)
	}
	a.mu.Lock()
	h := a.holds[from]
	delete(a.holds, from)
	a.mu.Unlock()
	if h != nil {
		defer close(h.done)
		if h.before {
			close(h.caught)
			<-h.free
		}
	}
	reply, accepted := a.write(r, from, body)
	if h != nil && h.before && !accepted && a.unfenced {
		a.mu.Lock()
		a.effects = append(a.effects, effect{time.Now(), from, fenceOf(string(body)), a.app()})
		a.mu.Unlock()
		accepted = true
	}
	if h != nil {
		h.accepted = accepted
		if !h.before {
			close(h.caught)
			<-h.free
		}
	}
	maps.Copy(w.Header(), reply.Header())
	w.WriteHeader(reply.Code)
	_, _ = w.Write(reply.Body.Bytes()) // that the writer is gone is what is tested
}

// write does one write and notes it.
func (a *aws) write(r *http.Request, from string, body []byte) (*httptest.ResponseRecorder, bool) {
	a.writing.Lock()
	defer a.writing.Unlock()
	reply := httptest.NewRecorder()
	a.emulator.ServeHTTP(reply, r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if reply.Code != http.StatusOK {
		if strings.Contains(string(body), "_veer-fence.") {
			a.refused++
		}
		return reply, false
	}
	a.effects = append(a.effects, effect{time.Now(), from, fenceOf(string(body)), a.app()})
	return reply, true
}

var fenceText = regexp.MustCompile(`veer-fence owner=(\S+) term=(\d+) holder=(\w+) write=(\d+)`)

// fenceOf is the newest fence in a request: that which it writes.
func fenceOf(body string) (f providers.Fence) {
	for _, m := range fenceText.FindAllStringSubmatch(body, -1) {
		term, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			panic(err)
		}
		write, err := strconv.ParseUint(m[4], 10, 64)
		if err != nil {
			panic(err)
		}
		if write > f.Write {
			f = providers.Fence{Owner: m[1], Term: term, Holder: m[3], Write: write}
		}
	}
	return f
}

// app are the addresses of the service now.
func (a *aws) app() []string {
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

// since are the effects from the n-th on, and how many writes were refused.
func (a *aws) since(n int) (effects []effect, refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.effects[n:]), a.refused
}

func (e effect) String() string {
	return fmt.Sprintf("%s wrote term %d, write %d: %s", e.from, e.fence.Term, e.fence.Write, strings.Join(e.app, ","))
}

// order reports the first effect that is older than one before it.
func order(effects []effect) error {
	for i := 1; i < len(effects); i++ {
		was, is := effects[i-1], effects[i]
		if is.fence == (providers.Fence{}) || was.fence == (providers.Fence{}) {
			continue // the proof of the swap, on a scratch record
		}
		if is.fence.Term < was.fence.Term || is.fence.Write <= was.fence.Write ||
			is.fence.Term == was.fence.Term && is.fence.Holder != was.fence.Holder {
			return fmt.Errorf("after %s came %s", was, is)
		}
	}
	return nil
}
