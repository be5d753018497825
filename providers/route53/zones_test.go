package route53_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// TestLookUp: a zone without an id is looked up once; two of one name are told
// apart by private and VPC, or else refused.
func TestLookUp(t *testing.T) {
	public, other := route53test.Zone{ID: "Z0PUBLIC", Name: "example.test"}, route53test.Zone{ID: "Z0OTHER", Name: "example.test"}
	private := route53test.Zone{ID: "Z0PRIVATE", Name: "example.test", Private: true, VPCs: []string{"vpc-0000000a"}}
	second := route53test.Zone{ID: "Z0SECOND", Name: "example.test", Private: true, VPCs: []string{"vpc-0000000b", "vpc-0000000c"}}
	before, after := route53test.Zone{ID: "Z0A", Name: "aaa.test"}, route53test.Zone{ID: "Z0Z", Name: "sub.example.test"}
	for _, test := range []struct {
		name  string
		zones []route53test.Zone
		ask   route53.Zone
		id    string
		says  string
	}{
		{"one", []route53test.Zone{before, public, after}, route53.Zone{}, "Z0PUBLIC", ""},
		{"given", []route53test.Zone{public, private}, route53.Zone{ID: "Z0PRIVATE"}, "Z0PRIVATE", ""},
		{"public beside private", []route53test.Zone{public, private}, route53.Zone{}, "Z0PUBLIC", ""},
		{"private beside public", []route53test.Zone{public, private}, route53.Zone{Private: true}, "Z0PRIVATE", ""},
		{"by VPC", []route53test.Zone{public, private, second}, route53.Zone{Private: true, VPC: "vpc-0000000c"}, "Z0SECOND", ""},
		{"none", []route53test.Zone{before, after}, route53.Zone{}, "", "no public zone of this name"},
		{"none of the kind", []route53test.Zone{private}, route53.Zone{}, "", "no public zone of this name, but Z0PRIVATE"},
		{"none of the VPC", []route53test.Zone{private}, route53.Zone{Private: true, VPC: "vpc-0000000f"}, "", "no private (vpc-0000000f) zone of this name, but Z0PRIVATE"},
		{"two public", []route53test.Zone{public, other}, route53.Zone{}, "", "2 public zones of this name: Z0OTHER, Z0PUBLIC; give the id"},
		{"two private", []route53test.Zone{private, second}, route53.Zone{Private: true}, "", "2 private zones"},
	} {
		server := newServer(t, func(o *route53test.Options) { o.Zones = test.zones })
		c := route53test.Config(t, zone)
		test.ask.Name = zone
		c.Zones = []route53.Zone{test.ask}
		p := route53test.Provider(t, c, "shop", server)
		ids, err := p.ZoneIDs(t.Context())
		if ids[zone] != test.id || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, %v; want %s %s", test.name, ids, err, test.id, test.says)
		}
		if err != nil {
			continue
		}
		for range 2 {
			if _, err := p.Read(t.Context(), zone); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if n := server.Calls()["ListHostedZonesByName"]; n > 1 {
			t.Errorf("%s: the zone was looked up %d times", test.name, n)
		}
	}
}

// TestZoneMade anew: a zone that was deleted and made again has another id,
// which is looked up once the old one is refused; one that the config gives is
// told to be wrong.
func TestZoneMadeAnew(t *testing.T) {
	server := newServer(t, nil)
	c := route53test.Config(t, zone)
	c.Zones[0].ID = ""
	p := route53test.Provider(t, c, "shop", server)
	if _, err := p.Read(t.Context(), zone); err != nil {
		t.Fatal(err)
	}
	server.RemoveZone(route53test.ZoneID)
	server.AddZone(route53test.Zone{ID: "Z0NEW", Name: zone})
	if _, err := p.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "no hosted zone "+route53test.ZoneID) {
		t.Errorf("a zone that is gone: %v", err)
	}
	if _, err := p.Read(t.Context(), zone); err != nil {
		t.Errorf("the zone that was made anew: %v", err)
	}
	server.AddZone(route53test.Zone{ID: "Z0ELSE", Name: "else.test"})
	c.Zones[0].ID = "Z0ELSE"
	if _, err := route53test.Provider(t, c, "shop", server).Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "is not the zone example.test.") {
		t.Errorf("the id of another zone: %v", err)
	}
}

// TestUnknownIsNotEmpty: a reply that is no listing is an error, never an empty
// zone.
func TestUnknownIsNotEmpty(t *testing.T) {
	server := newServer(t, nil)
	for _, body := range []string{
		"", "OK", "<html></html>", `<?xml version="1.0"?><ListResourceRecordSetsResponse/>`,
		`<ListResourceRecordSetsResponse><IsTruncated>false</IsTruncated><MaxItems>300</MaxItems><ResourceRecordSets/></ListResourceRecordSetsResponse>`,
		`<ListResourceRecordSetsResponse><IsTruncated>true</IsTruncated><MaxItems>300</MaxItems><ResourceRecordSets/></ListResourceRecordSetsResponse>`,
	} {
		p := route53test.Provider(t, route53test.Config(t, zone), "shop", roundTripper(func(req *http.Request) (*http.Response, error) {
			reply, err := server.RoundTrip(req)
			if err == nil && req.URL.Query().Get("maxitems") == "300" {
				reply.Body = readCloser{strings.NewReader(body)}
			}
			return reply, err
		}))
		if snap, err := p.Read(t.Context(), zone); err == nil {
			t.Errorf("%q was read as %+v", body, snap)
		}
	}
}

// TestFollow: a change is followed until it is in sync, gently, and the time is
// counted from its acceptance.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, func(o *route53test.Options) { o.Propagation = 40 * time.Second })
		p := route53test.Provider(t, route53test.Config(t, zone), "shop", server)
		from, err := p.Read(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Apply(t.Context(), from, providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second) // the controller was busy
		took, err := p.Follow(t.Context(), r)
		if err != nil || took < 40*time.Second || took > 45*time.Second {
			t.Errorf("a change took %s, %v; want 40 s to 45 s", took, err)
		}
		if n := server.Calls()["GetChange"]; n > 15 {
			t.Errorf("following took %d requests", n)
		}
		if _, err := p.Follow(t.Context(), providers.Receipt{}); err == nil {
			t.Error("a receipt without a change was followed")
		}
		if _, err := p.Follow(t.Context(), providers.Receipt{Change: "C999"}); err == nil || !strings.Contains(err.Error(), "C999") {
			t.Errorf("a change that is none: %v", err)
		}
		r, err = p.Apply(t.Context(), must(p.Read(t.Context(), zone)), providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if took, err := p.Follow(ctx, r); !errors.Is(err, context.DeadlineExceeded) || took > 11*time.Second {
			t.Errorf("an ended context: %s, %v", took, err)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestBuckets: requests are spaced so that the API, whose buckets are as the
// config says, never throttles them; several zones share them; an action can
// have less; a wait is told, and ends with its context.
func TestBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zones := []route53test.Zone{{ID: "Z0A", Name: "a.test"}, {ID: "Z0B", Name: "b.test"}}
		server := newServer(t, func(o *route53test.Options) { o.Zones, o.Rate, o.Burst = zones, 2, 4 })
		c := route53test.Config(t, zone)
		c.Zones = []route53.Zone{{Name: "a.test", ID: "Z0A"}, {Name: "b.test", ID: "Z0B"}}
		c.Rate, c.Burst = 2, 4
		var log bytes.Buffer
		p, err := route53.New(c, route53.Options{Owner: "shop", Transport: server, Log: zerolog.New(zerolog.SyncWriter(&log))})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		done := make(chan error)
		for _, name := range []string{"a.test.", "b.test."} {
			go func() {
				var err error
				for range 4 {
					_, e := p.Read(t.Context(), name)
					err = errors.Join(err, e)
				}
				done <- err
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		// 2 zones x 4 reads x 3 requests, 4 at once, then 2 a second.
		if took, want := time.Since(start), 10*time.Second; took < want-time.Millisecond || took > want+time.Millisecond {
			t.Errorf("24 requests took %s, want %s", took, want)
		}
		for _, line := range server.Log() {
			if strings.Contains(line, "Throttling") {
				t.Fatalf("the API had to throttle: %v", server.Log())
			}
		}
		if !strings.Contains(log.String(), "waiting for Route 53's rate limit") {
			t.Errorf("a long wait was not told: %s", log.String())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := p.Read(ctx, "a.test."); err == nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("a wait went on for %s after its context: %v", time.Since(began), err)
		}
	})
}

// TestActionBucket: one action can have a bucket of its own; a write that it
// leaves no room for in time is not sent, and may be tried again.
func TestActionBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, nil)
		c := route53test.Config(t, zone)
		c.Actions = map[string]route53.Bucket{"ChangeResourceRecordSets": {Rate: 0.1, Burst: 7}}
		b := &bench{t: t, server: server, Provider: route53test.Provider(t, c, "shop", server)}
		if err := b.Prove(t.Context(), zone); err != nil {
			t.Fatal(err)
		}
		sent := server.Calls()[change]
		if sent != 6 {
			t.Fatalf("the proof took %d writes; the bucket is to have two tokens left", sent)
		}
		b.must(a("app", "192.0.2.1")) // a claim and the record
		from := b.read()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Apply(ctx, from, b.fence(from), nil)
		var busy *providers.BusyError
		if !errors.As(err, &busy) || busy.After < 9*time.Second || busy.After > 10*time.Second {
			t.Errorf("a write without a token: %v; want a BusyError of 10 s", err)
		}
		if n := server.Calls()[change]; n != sent+2 {
			t.Errorf("%d writes were sent, want %d", n, sent+2)
		}
		start := time.Now()
		b.must(a("app", "192.0.2.2"))
		if took := time.Since(start); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("the next write waited %s, want 10 s", took)
		}
	})
}

// TestPriorRequest: while the zone is busy a write waits, for some seconds, and
// is then refused as such, with nothing written.
func TestPriorRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, nil)
		server.SetProcessing(2 * time.Second)
		b := &bench{t: t, server: server, Provider: route53test.Provider(t, route53test.Config(t, zone), "shop", server)}
		b.must(a("app", "192.0.2.1")) // the proof's six writes go before
		server.SetProcessing(time.Minute)
		b.must(a("app", "192.0.2.2"))
		var busy *providers.BusyError
		start := time.Now()
		if err := b.apply(a("app", "192.0.2.3")); !errors.As(err, &busy) || busy.After <= 0 {
			t.Fatalf("a write while another was processed: %v", err)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("the write was given up after %s, want 7 s", took)
		}
		b.wantHeld("app."+zone, "A ttl=30 192.0.2.2")
		time.Sleep(time.Minute)
		b.must(a("app", "192.0.2.3"))
	})
}
