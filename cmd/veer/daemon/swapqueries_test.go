package daemon_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
)

// TestQueriesThroughReloads asks over UDP and TCP through hundreds of reloads,
// good and bad ones: every query is answered, and rightly; nothing is voted down,
// and nothing is left behind.
func TestQueriesThroughReloads(t *testing.T) {
	const reloads = 200
	l, _, _ := swapLab(t)
	base, zone := l.read("veer.yaml"), l.read("example.test.zone")
	for _, vantage := range []regions.Name{"eu-west", "us-east"} {
		for host := range l.backends {
			l.votes(vantage, regions.EndpointID("web@"+host), "up")
		}
	}
	before, err := l.client("eu-west").Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asking sync.WaitGroup
	var asked atomic.Int64
	conns := map[string]*dns.Conn{}
	for _, network := range []string{"udp", "tcp"} {
		conn, err := (&dns.Client{Net: network, Timeout: patience}).Dial(l.server)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // it is only read
		conns[network] = conn
	}
	asking.Go(func() { // one at a time, without a pause: more of them would only slow the reloads
		for n := uint16(0); ctx.Err() == nil; n++ {
			for network, conn := range conns {
				if err := askOn(conn, n); err != nil {
					t.Errorf("%s: query %d: %v", network, n, err)
					return
				}
				asked.Add(1)
			}
		}
	})
	var votes sync.Map
	asking.Go(func() { // every vote that is cast on what stays
		for ctx.Err() == nil {
			changed := l.observer.Changed()
			for _, b := range l.observer.View().Ballots {
				for _, v := range b.Votes {
					if strings.HasPrefix(string(v.Endpoint), "web@") {
						votes.Store(fmt.Sprint(v.Endpoint, " ", v.Health), b.Vantage)
					}
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	})
	counts, running := map[api.ReloadResult]int{}, 0
	for i := range reloads {
		switch i % 4 {
		case 0: // other data in the zone, and another hold
			l.write("example.test.zone", fmt.Sprintf("%snew%d IN A 127.0.0.77\n", zone, i))
			l.write("veer.yaml", strings.Replace(base, "hold: 1s", fmt.Sprintf("hold: %ds", 1+i%7), 1))
		case 1:
			l.write("veer.yaml", strings.Replace(base, "services:", "services: [", 1))
		case 2: // one more service, other thresholds
			l.write("veer.yaml", strings.Replace(strings.Replace(base, "fall: 2", fmt.Sprintf("fall: %d", 2+i%3), 1), "services:\n",
				fmt.Sprintf("services:\n  - name: s%d.example.test\n    providers: [here]\n    monitor: web\n    pools:\n      - {region: us-east, endpoints: [127.0.0.12]}\n    ttl: {min: 1s, max: 5s}\n", i%3), 1))
		case 3:
			l.write("example.test.zone", zone+"bad IN A\n")
		}
		r, err := l.client("eu-west").Reload(t.Context(), api.ReloadRequest{By: "test"}, false)
		if err != nil {
			t.Fatal(err)
		}
		counts[r.Result]++
		if i == reloads/4 {
			running = runtime.NumGoroutine()
		}
	}
	l.write("veer.yaml", base)
	l.write("example.test.zone", zone)
	l.reloads("eu-west", api.ReloadChanged)
	left := runtime.NumGoroutine()
	for range 100 { // those of single requests end in their time
		if left <= running+20 {
			break
		}
		<-time.After(10 * time.Millisecond)
		left = runtime.NumGoroutine()
	}
	stop()
	asking.Wait()
	if counts[api.ReloadChanged] < reloads/2-1 || counts[api.ReloadInvalid] < reloads/2-1 {
		t.Errorf("void: the reloads were %v", counts)
	}
	if left > running+20 {
		t.Errorf("%d goroutines after %d reloads, %d after a quarter of them", left, reloads, running)
	}
	votes.Range(func(key, by any) bool { // a machine that is short of time may make some unknown
		if strings.HasSuffix(key.(string), " down") {
			t.Errorf("%s was voted by %v", key, by)
		}
		return true
	})
	after, err := l.client("eu-west").Status(t.Context())
	if err != nil || after.Config != before.Config {
		t.Errorf("config %s, before %s (%v)", after.Config, before.Config, err)
	}
	t.Logf("%d queries through %v", asked.Load(), counts)
	if asked.Load() < reloads {
		t.Errorf("void: only %d queries were asked", asked.Load())
	}
}

// askOn asks what is the same in every config.
func askOn(conn *dns.Conn, n uint16) error {
	m := new(dns.Msg)
	name, want := appName, "127.0.0.11"
	if n%2 == 1 {
		name, want = "ns1.example.test.", "127.0.0.1"
	}
	m.SetQuestion(name, dns.TypeA)
	m.Id = n
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := conn.WriteMsg(m); err != nil {
		return err
	}
	r, err := conn.ReadMsg()
	if err != nil {
		return err
	}
	if r.Id != n || r.Rcode != dns.RcodeSuccess || !r.Authoritative || len(r.Answer) != 1 || !strings.HasSuffix(r.Answer[0].String(), "\t"+want) {
		return fmt.Errorf("%s is answered %v", name, r)
	}
	return nil
}
