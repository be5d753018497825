package cloudflare_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
	"github.com/veerdns/veer/providers/providertest"
)

// scene is a world with one client that may write.
type scene struct {
	t *testing.T
	*cloudflaretest.World
	p    *cloudflare.Provider
	line *providertest.Line
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, World: cloudflaretest.NewWorld(t, zone), line: &providertest.Line{}}
	s.p = s.Provider(t, "shop", s.line)
	s.must(s.p.Prove(t.Context(), zone))
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) read() providers.Snapshot {
	s.t.Helper()
	snap, err := s.p.Read(s.t.Context(), zone)
	s.must(err)
	return snap
}

func (s *scene) write(from providers.Snapshot, want ...providers.RRSet) error {
	next := providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: from.Fence.Write + 10}
	_, err := s.p.Apply(s.t.Context(), from, next, providers.Diff(from.Records, want))
	return err
}

// records lists what is in the zone but for Veer's own, sorted.
func (s *scene) records() []string {
	var out []string
	for _, r := range s.Server.All(s.ZoneID) {
		if !strings.HasPrefix(r.Name, "_veer") {
			out = append(out, fmt.Sprintf("%s %s %s %d", r.Name, r.Type, r.Content, r.TTL))
		}
	}
	slices.Sort(out)
	return out
}

func (s *scene) has(want ...string) {
	s.t.Helper()
	if got := s.records(); !slices.Equal(got, want) {
		s.t.Errorf("the zone has %q, want %q", got, want)
	}
}

func a(label string, data ...string) providers.RRSet {
	return providers.RRSet{Name: label + "." + zone, Type: "A", TTL: 60, Data: data}
}

func in(t *testing.T, run func(s *scene)) {
	synctest.Test(t, func(t *testing.T) { run(newScene(t)) })
}

// TestAnotherType: addresses give way to a CNAME and back in one batch, which
// rests on the order of operations.
func TestAnotherType(t *testing.T) {
	cname := providers.RRSet{Name: "app." + zone, Type: "CNAME", TTL: 60, Data: []string{"Other.Test"}}
	in(t, func(s *scene) {
		s.must(s.write(s.read(), a("app", "192.0.2.1", "192.0.2.2")))
		s.must(s.write(s.read(), cname))
		s.has("app.example.test CNAME other.test 60")
		s.must(s.write(s.read(), a("app", "192.0.2.1")))
		s.has("app.example.test A 192.0.2.1 60")
		s.Server.Without(cloudflaretest.Order)
		if err := s.write(s.read(), cname); !errors.Is(err, providers.ErrConflict) {
			t.Errorf("where creations come first, the change gave %v, want it refused", err)
		}
	})
}

// TestAttributesAreCopied: a record that joins a set takes what the others have
// besides, and one that changes keeps its own, as its id.
func TestAttributesAreCopied(t *testing.T) {
	in(t, func(s *scene) {
		s.must(s.write(s.read(), a("app", "192.0.2.1", "192.0.2.2")))
		comment := "ask the web team"
		s.must(s.Server.Edit(s.ZoneID, func(records []*cloudflaretest.Record) []*cloudflaretest.Record {
			for _, r := range records {
				if r.Type == "A" {
					r.Comment, r.Tags, r.Settings, r.PrivateRouting = &comment, []string{"team:web"}, map[string]any{"ipv4_only": true}, true
				}
			}
			return records
		}))
		before := map[string]bool{}
		for _, r := range s.Server.All(s.ZoneID) {
			before[r.ID] = true
		}
		s.must(s.write(s.read(), a("app", "192.0.2.3")))
		s.has("app.example.test A 192.0.2.3 60")
		s.must(s.write(s.read(), a("app", "192.0.2.3", "192.0.2.4")))
		kept := 0
		for _, r := range s.Server.All(s.ZoneID) {
			if r.Type != "A" {
				continue
			}
			if before[r.ID] {
				kept++
			}
			if r.Comment == nil || *r.Comment != comment || !slices.Equal(r.Tags, []string{"team:web"}) || r.Settings["ipv4_only"] != true || !r.PrivateRouting {
				t.Errorf("a record has lost what it had: %+v", r)
			}
		}
		if kept != 1 {
			t.Errorf("%d records of the set are those that there were, want 1", kept)
		}
	})
}

// TestProxied: an imported proxied set keeps its proxy and makes no diff,
// whatever TTL is wanted.
func TestProxied(t *testing.T) {
	in(t, func(s *scene) {
		s.must(s.write(s.read(), a("app", "192.0.2.1")))
		s.must(s.Server.Edit(s.ZoneID, func(records []*cloudflaretest.Record) []*cloudflaretest.Record {
			for _, r := range records {
				if r.Type == "A" {
					r.Proxied, r.TTL = true, 1
				}
			}
			return records
		}))
		for _, want := range []providers.RRSet{a("app", "192.0.2.1"), a("app", "192.0.2.2", "192.0.2.3"), a("app", "192.0.2.3")} {
			if err := s.write(s.read(), want); err != nil {
				t.Fatal(err)
			}
			want.TTL = 120
			if d := providers.Diff(s.read().Records, []providers.RRSet{want}); len(d) != 0 {
				t.Errorf("after %v is written, the diff is %+v, want none", want.Data, d)
			}
			for _, r := range s.Server.All(s.ZoneID) {
				if r.Type == "A" && (!r.Proxied || r.TTL != 1) {
					t.Errorf("a record is not proxied any more: %+v", r)
				}
			}
		}
		// The wider TTL of a foreign automatic record is what resolvers see.
		s.must(s.Server.Put(s.ZoneID, "", providers.RRSet{Name: "auto." + zone, Type: "A", TTL: 1, Data: []string{"192.0.2.9"}}))
		if got := s.read().Foreign; len(got) != 1 || got[0].TTL != 300 {
			t.Errorf("an automatic TTL is read as %+v, want 300", got)
		}
	})
}

// TestLatch: of all that begin with a zone without a fence, one writes.
func TestLatch(t *testing.T) {
	in(t, func(s *scene) {
		empty := s.read()
		held := s.line.Hold()
		cut := make(chan error, 1)
		go func() { cut <- s.write(empty, a("late", "192.0.2.1")) }()
		<-held
		other := s.Provider(t, "shop", nil)
		from, err := other.Read(s.t.Context(), zone)
		s.must(err)
		_, err = other.Apply(s.t.Context(), from, providers.Fence{Owner: "shop", Term: 2, Holder: "h2", Write: 1}, providers.Diff(nil, []providers.RRSet{a("app", "192.0.2.2")}))
		s.must(err)
		s.line.Deliver()
		if err := <-cut; !errors.Is(err, providers.ErrFenced) {
			t.Errorf("the late write's client was told %v, want %v", err, providers.ErrFenced)
		}
		s.has("app.example.test A 192.0.2.2 60")
	})
}

// TestFenceRemoved: what somebody removes of fence and latch comes back with
// the next write, and several fences stop all writes.
func TestFenceRemoved(t *testing.T) {
	drop := func(s *scene, text string) {
		s.must(s.Server.Edit(s.ZoneID, func(records []*cloudflaretest.Record) []*cloudflaretest.Record {
			return slices.DeleteFunc(records, func(r *cloudflaretest.Record) bool {
				return strings.HasPrefix(r.Name, "_veer-fence.") && strings.Contains(r.Content, text)
			})
		}))
	}
	fences := func(s *scene) int {
		n := 0
		for _, r := range s.Server.All(s.ZoneID) {
			if strings.HasPrefix(r.Name, "_veer-fence.") {
				n++
			}
		}
		return n
	}
	for _, gone := range []string{"term=0", "term=1", "term="} {
		in(t, func(s *scene) {
			s.must(s.write(s.read(), a("app", "192.0.2.1")))
			drop(s, gone)
			s.must(s.write(s.read(), a("app", "192.0.2.2")))
			s.has("app.example.test A 192.0.2.2 60")
			if got := fences(s); got != 2 {
				t.Errorf("after %q was removed and the zone written, %d records stand for the fence, want 2", gone, got)
			}
			s.must(s.write(s.read(), a("app", "192.0.2.3")))
		})
	}
	in(t, func(s *scene) {
		s.must(s.write(s.read(), a("app", "192.0.2.1")))
		s.must(s.Server.Edit(s.ZoneID, func(records []*cloudflaretest.Record) []*cloudflaretest.Record {
			return append(records, &cloudflaretest.Record{Name: "_veer-fence.shop.example.test", Type: "TXT", Content: `"veer-fence owner=shop term=7 holder=x write=7"`, TTL: 60})
		}))
		if _, err := s.p.Read(s.t.Context(), zone); err == nil || !strings.Contains(err.Error(), "2 fences stand at _veer-fence.shop.example.test.") {
			t.Errorf("with two fences, Read gave %v", err)
		}
	})
}

// TestForeignRecordComesInBetween: before each request of a write that makes a
// name, somebody makes a record there. It is never changed before the name is
// claimed. Without claims it is.
func TestForeignRecordComesInBetween(t *testing.T) {
	run := func(t *testing.T, make func(cloudflare.Config, cloudflare.Options) *cloudflare.Provider) (broken int) {
		for n := 1; ; n++ {
			over := false
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				s.must(s.write(s.read(), a("app", "192.0.2.1")))
				line := &providertest.Line{}
				p := make(s.Config, cloudflare.Options{Owner: "shop", Log: zerolog.Nop(), Transport: providertest.Transport(line, s.Server, cloudflaretest.IsWrite)})
				s.must(p.Prove(t.Context(), zone))
				from, err := p.Read(t.Context(), zone)
				s.must(err)
				came, owned := false, false
				line.Before(n, func() {
					came = true
					for _, r := range s.Server.All(s.ZoneID) {
						owned = owned || r.Name == "_veer.new.example.test"
					}
					s.must(s.Server.Put(s.ZoneID, "", a("new", "203.0.113.1")))
				})
				next := from.Fence
				next.Write += 10
				_, err = p.Apply(t.Context(), from, next, providers.Diff(nil, []providers.RRSet{a("new", "192.0.2.2")}))
				if over = !came; over || owned {
					return
				}
				after, readErr := p.Read(t.Context(), zone)
				s.must(readErr)
				if !errors.Is(err, providers.ErrConflict) || slices.Contains(after.Owned, "new."+zone) || len(after.Foreign) != 1 || !after.Foreign[0].Equal(a("new", "203.0.113.1")) {
					broken++
				}
			})
			if over {
				return broken
			}
		}
	}
	made := func(c cloudflare.Config, o cloudflare.Options) *cloudflare.Provider {
		p, err := cloudflare.New(c, o)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if n := run(t, made); n > 0 {
		t.Errorf("%d times a record of somebody else's came under an owned name", n)
	}
	if n := run(t, cloudflare.Unclaimed); n == 0 {
		t.Error("without claims, too, nothing was found: the test finds nothing")
	}
}

// TestSpareBatches: a change of many answers takes the least number of batches,
// none larger than the limit.
func TestSpareBatches(t *testing.T) {
	in(t, func(s *scene) {
		var was, want []providers.RRSet
		for i := range 25 {
			was = append(was, a(fmt.Sprintf("n%d", i), "192.0.2.1"))
			want = append(want, a(fmt.Sprintf("n%d", i), "192.0.2.2"))
		}
		s.must(s.write(s.read(), was...))
		before := s.Server.Calls()["batch"]
		from := s.read()
		estimate, err := s.p.Estimate(from, providers.Diff(from.Records, want))
		s.must(err)
		s.must(s.write(from, want...))
		// 12 in a batch, of which the fence takes 2 and the latch may take 1.
		if got := s.Server.Calls()["batch"] - before; got != 3 || estimate.Calls != 3 {
			t.Errorf("25 changes took %d batches, and %d were estimated; want ceil(25 / (12 - 3)) = 3", got, estimate.Calls)
		}
		if !strings.Contains(estimate.Quota, "1200") {
			t.Errorf("the estimate says %q of the quota", estimate.Quota)
		}
	})
}

var _ http.RoundTripper = (*cloudflaretest.Server)(nil)

// TestCrashBetweenClaimAndWrite: a controller that ends anywhere in a write
// that makes a name, at which somebody makes a record before the claim, leaves
// the next one nothing that it would take for its own; and no claim stays.
func TestCrashBetweenClaimAndWrite(t *testing.T) {
	tried := 0
	for came, over := 1, false; !over; came++ {
		for ends := came; ; ends++ {
			met := 0
			synctest.Test(t, func(t *testing.T) {
				met = crash(t, came, ends)
			})
			if over = met == 0; met < 2 {
				break
			}
			tried++
		}
	}
	if tried < 5 {
		t.Errorf("%d ways to end were tried, want at least 5", tried)
	}
}

// crash has somebody make a record before one request, and the controller end
// before another. It returns how many of the two came about.
func crash(t *testing.T, came, ends int) (met int) {
	s := newScene(t)
	s.must(s.write(s.read(), a("app", "192.0.2.1")))
	from := s.read()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	theirs, claimed, n := a("new", "203.0.113.1"), false, 0
	s.Server.Before(func(*http.Request) {
		n++
		if n == came {
			met++
			claimed = slices.ContainsFunc(s.Server.All(s.ZoneID), func(r cloudflaretest.Record) bool { return r.Name == "_veer.new.example.test" })
			s.must(s.Server.Put(s.ZoneID, "", theirs))
		}
		if n == ends {
			met++
			cancel()
		}
	})
	next := from.Fence
	next.Write += 10
	s.p.Apply(ctx, from, next, providers.Diff(nil, []providers.RRSet{a("new", "192.0.2.2")})) //nolint:errcheck // nobody is left to look
	s.Server.Before(nil)
	if claimed || met < 2 {
		return met
	}
	s.p = s.Provider(t, "shop", nil)
	s.must(s.p.Prove(t.Context(), zone))
	if err := s.write(s.read(), a("app", "192.0.2.1"), a("new", "192.0.2.2")); !errors.Is(err, providers.ErrConflict) {
		t.Errorf("record before request %d, end before %d: the next controller's write gave %v, want a conflict", came, ends, err)
	}
	s.must(s.write(s.read(), a("app", "192.0.2.7")))
	s.has("app.example.test A 192.0.2.7 60", "new.example.test A 203.0.113.1 60")
	for _, r := range s.Server.All(s.ZoneID) {
		if r.Name == "_veer.new.example.test" {
			t.Errorf("record before request %d, end before %d: %s %s stays", came, ends, r.Name, r.Content)
		}
	}
	return met
}
