package route53_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// TestManyRecords is what TestAcceptManyRecords is, with fewer names.
func TestManyRecords(t *testing.T) { manyRecords(t, 600) }

// manyRecords shows that n owned names change at once in the fewest requests
// that the API's limits allow, and as fast as its buckets do.
func manyRecords(t *testing.T, n int) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, nil)
		b := &bench{t: t, server: server, Provider: route53test.Provider(t, route53test.Config(t, zone), "shop", server)}
		sets := func(net int) []providers.RRSet {
			out := make([]providers.RRSet, n)
			for i := range out {
				out[i] = a(fmt.Sprintf("n%05d", i), fmt.Sprintf("192.%d.%d.%d", net, i/250, 1+i%250))
			}
			return out
		}
		// One request carries 1,000 records, of which the fence takes two. A name
		// that changes takes two: its set deleted and created. A new one takes one
		// for its claim, and three when the owner's mark replaces that and the set
		// is created. So many names have fewer than 32,000 characters.
		ceil := func(c int) int { return (n + 998/c - 1) / (998 / c) }
		for round, want := range [][]providers.RRSet{sets(0), sets(1)} {
			fewest := []int{ceil(1) + ceil(3), ceil(2)}[round]
			from := b.read()
			changes := providers.Diff(from.Records, want)
			cost, err := b.Estimate(from, changes)
			if err != nil || cost.Calls != fewest {
				t.Errorf("round %d: estimated %+v, %v; want %d calls", round, cost, err, fewest)
			}
			if round == 0 {
				if err := b.Prove(t.Context(), zone); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute) // the buckets are full
			before, all, start := server.Calls()[change], total(server), time.Now()
			r, err := b.Apply(context.Background(), from, b.fence(from), changes)
			if err != nil {
				t.Fatal(err)
			}
			if got := server.Calls()[change] - before; got != fewest || r.Calls != fewest {
				t.Errorf("round %d: %d names took %d requests (receipt: %d), want %d", round, n, got, r.Calls, fewest)
			}
			// 50 requests at once, and 10 a second from then on.
			all = total(server) - all
			if took, least := time.Since(start), time.Duration(max(0, all-50))*time.Second/10; took != least {
				t.Errorf("round %d: %d requests took %s, the API's bucket makes it %s", round, all, took, least)
			}
			if d := providers.Diff(b.read().Records, want); len(d) > 0 {
				t.Errorf("round %d: %d sets are not as wanted", round, len(d))
			}
		}
	})
}

// total is how many requests the server has had.
func total(server *route53test.Server) (n int) {
	for _, calls := range server.Calls() {
		n += calls
	}
	return n
}

// TestChangeThroughput: where the account's bucket of changes is what bounds,
// the requests that it refuses are made later, and nothing is lost or doubled.
func TestChangeThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, rate, burst = 600, 100, 1000
		server := newServer(t, func(o *route53test.Options) { o.ChangeRate, o.ChangeBurst = rate, burst })
		b := &bench{t: t, server: server, Provider: route53test.Provider(t, route53test.Config(t, zone), "shop", server)}
		want := make([]providers.RRSet, n)
		for i := range want {
			want[i] = a(fmt.Sprintf("n%05d", i), "192.0.2.1")
		}
		start := time.Now()
		for tries := 0; ; tries++ {
			if err := b.apply(want...); err == nil {
				break
			} else if tries > 60 {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if d := providers.Diff(b.read().Records, want); len(d) > 0 {
			t.Errorf("%d sets are not as wanted", len(d))
		}
		// 4 changes a name; those above the burst wait for the bucket.
		least := time.Duration(4*n-burst) * time.Second / rate
		if took := time.Since(start); took < least || took > least+10*time.Second {
			t.Errorf("%d names took %s; the API's bucket makes it %s", n, took, least)
		}
	})
}
