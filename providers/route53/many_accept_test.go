//go:build accept

package route53_test

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// TestAcceptManyRecords: 10,000 owned names change at once.
func TestAcceptManyRecords(t *testing.T) { manyRecords(t, 10000) }

// TestAcceptMemory: with 10,000 owned names, reading and changing all of them
// keeps the heap below 200 MiB, the emulator's own 20,000 sets included.
func TestAcceptMemory(t *testing.T) {
	const n, most = 10000, 200 << 20
	server := newServer(t, func(o *route53test.Options) {
		o.Without = []route53test.Rule{route53test.ThrottleAccount, route53test.ThrottleAction}
	})
	c := route53test.Config(t, zone)
	c.Rate, c.Burst = 10000, 100000
	watch := &heap{next: server}
	b := &bench{t: t, server: server, Provider: route53test.Provider(t, c, "shop", watch)}
	want := make([]providers.RRSet, n)
	for round := range 3 {
		for i := range want {
			want[i] = a(fmt.Sprintf("n%05d", i), fmt.Sprintf("192.%d.%d.%d", round, i/250, 1+i%250))
		}
		b.must(want...)
	}
	runtime.GC()
	t.Logf("%d names: %d requests, heap in use at most %d MiB", n, server.Calls()[change], watch.peak>>20)
	if watch.peak > most {
		t.Errorf("the heap came to %d MiB, want at most %d", watch.peak>>20, most>>20)
	}
}

// heap is a transport that looks at the heap in use at each request.
type heap struct {
	next http.RoundTripper
	peak uint64
}

func (h *heap) RoundTrip(req *http.Request) (*http.Response, error) {
	reply, err := h.next.RoundTrip(req)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.peak = max(h.peak, m.HeapInuse)
	return reply, err
}
