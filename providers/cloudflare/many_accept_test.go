//go:build accept

package cloudflare_test

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
)

// many is how many owned records change at once.
const many = 10_000

// TestManyChange: 10,000 owned records change at once, by the least number of
// batches, ceil(records / (limit - 3)) where the fence takes 2 of each batch and
// its latch may take 1; in the least time that the API's throttle allows; within
// 200 MiB of heap, the emulator's included.
func TestManyChange(t *testing.T) {
	for _, c := range []struct {
		plan     string
		requests int // in 5 minutes
		batches  int
	}{
		{"pro", 1200, 3},   // ceil(10000 / 3497)
		{"free", 1200, 51}, // ceil(10000 / 197)
		{"free", 20, 51},
	} {
		t.Run(fmt.Sprintf("%s, %d requests in 5 minutes", c.plan, c.requests), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { manyChange(t, c.plan, c.requests, c.batches) })
		})
	}
}

func manyChange(t *testing.T, plan string, requests, batches int) {
	s := cloudflaretest.New()
	id := s.AddZone(zone, plan)
	fill(t, s, id)
	config := cloudflaretest.Config(t, zone, id)
	config.Plan, config.Requests = plan, requests
	s.SetRequests(requests)
	var peak uint64
	s.Before(func(*http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
	})
	p, err := cloudflare.New(config, cloudflare.Options{Owner: "shop", Log: zerolog.Nop(), Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := p.Prove(t.Context(), zone); err != nil {
		t.Fatal(err)
	}
	from, err := p.Read(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	if len(from.Records) != many {
		t.Fatalf("%d records are owned, want %d", len(from.Records), many)
	}
	want := make([]providers.RRSet, many)
	for i, set := range from.Records {
		set.Data = []string{"192.0.2.2"}
		want[i] = set
	}
	before := s.Calls()["batch"]
	next := providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 1}
	if _, err := p.Apply(t.Context(), from, next, providers.Diff(from.Records, want)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	calls := s.Calls()
	if got := calls["batch"] - before; got != batches {
		t.Errorf("%d batches, want %d", got, batches)
	}
	sent := calls["batch"] + calls["find"] + calls["list"]
	if least := time.Duration((sent-1)/requests) * 5 * time.Minute; calls["throttled"] != 0 || took != least {
		t.Errorf("%d requests took %s, of which %d came too early; want %s and none", sent, took, calls["throttled"], least)
	}
	after, err := p.Read(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	if d := providers.Diff(after.Records, want); len(d) != 0 {
		t.Errorf("%d records are not as decided", len(d))
	}
	t.Logf("%d records by %d batches and %d other requests, in %s of the API's time, heap at most %d MiB", many, batches, sent-batches, took, peak>>20)
	if peak > 200<<20 {
		t.Errorf("the heap had %d MiB, want at most 200", peak>>20)
	}
}

// fill puts the records and their owner's marks into the zone.
func fill(t *testing.T, s *cloudflaretest.Server, id string) {
	t.Helper()
	err := s.Edit(id, func(records []*cloudflaretest.Record) []*cloudflaretest.Record {
		for i := range many {
			name := fmt.Sprintf("n%05d.example.test", i)
			records = append(records,
				&cloudflaretest.Record{Name: name, Type: "A", Content: "192.0.2.1", TTL: 60},
				&cloudflaretest.Record{Name: "_veer." + name, Type: "TXT", Content: `"` + providers.OwnerText("shop") + `"`, TTL: 60})
		}
		return records
	})
	if err != nil {
		t.Fatal(err)
	}
}
