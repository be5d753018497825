package fenced_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
)

const zone = fencedtest.Zone

// rig is a vendor and one owner's engine on it.
type rig struct {
	t      failer
	vendor *fencedtest.Vendor
	api    *fencedtest.API
	*fenced.Provider
}

// failer is a testing.T or a rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func newRig(t failer, most fenced.Size) rig {
	v := fencedtest.New(zone)
	api := &fencedtest.API{Vendor: v, Most: most}
	return rig{t, v, api, fenced.New(api, fenced.Options{Owner: "shop", Zones: []string{zone}, Log: zerolog.Nop()})}
}

func (r rig) read() providers.Snapshot {
	r.t.Helper()
	snap, err := r.Read(context.Background(), zone)
	if err != nil {
		r.t.Fatal(err)
	}
	return snap
}

func fence(write uint64) providers.Fence {
	return providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: write}
}

func set(label, address string) providers.RRSet {
	return providers.RRSet{Name: label + "." + zone, Type: "A", TTL: 60, Data: []string{address}}
}

// TestPack: where every name costs the same c, an Apply takes
// ceil(names / floor((limit - fence) / c)) requests, which a dumb search shows
// to be the least; and never parts a name.
func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.IntRange(0, 40).Draw(t, "names")
		perName := rapid.IntRange(1, 3).Draw(t, "sets of a name")
		limit := rapid.IntRange(2+perName+1, 30).Draw(t, "limit")
		r := newRig(t, fenced.Size{Records: limit})
		if err := r.Prove(context.Background(), zone); err != nil {
			t.Fatal(err)
		}
		var want []providers.RRSet
		for i := range names {
			for j := range perName {
				s := set(fmt.Sprintf("n%d", i), "192.0.2.1")
				if s.Type = []string{"A", "AAAA", "CNAME"}[j]; j > 0 {
					s.Data = []string{[]string{"", "2001:db8::1", "x.example.org."}[j]}
				}
				want = append(want, s)
			}
		}
		const fenceCost = 2
		cost := perName + 1 // the sets, and the owner's record
		each := (limit - fenceCost) / cost
		formula := max((names+each-1)/each, 1)
		if least := max(least(names, cost, limit-fenceCost), 1); least != formula {
			t.Fatalf("the formula gives %d requests, a search %d", formula, least)
		}
		from := r.read()
		estimate, err := r.Estimate(from, providers.Diff(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		before := r.vendor.Swaps()
		got, err := r.Apply(context.Background(), from, fence(1), providers.Diff(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		swaps := r.vendor.Swaps() - before
		if swaps != formula || got.Calls != formula || names > 0 && estimate.Calls != formula || got.Fence != fence(uint64(formula)) {
			t.Fatalf("%d names of %d records, limit %d: %d requests arrived, the receipt says %d and %s, the estimate %d; want %d",
				names, cost, limit, swaps, got.Calls, got.Fence, estimate.Calls, formula)
		}
	})
}

// least finds by trying all how few boxes of the size hold so many parts.
func least(parts, cost, size int) int {
	best := map[int]int{0: 0}
	for n := 1; n <= parts; n++ {
		best[n] = n
		for last := 1; last <= n && last*cost <= size; last++ {
			best[n] = min(best[n], best[n-last]+1)
		}
	}
	return best[parts]
}

// TestTooLarge: a name that no request can carry is refused when it is
// planned, and says by how much.
func TestTooLarge(t *testing.T) {
	r := newRig(t, fenced.Size{Records: 3})
	six := set("app", "2001:db8::1")
	six.Type = "AAAA"
	changes := providers.Diff(nil, []providers.RRSet{set("app", "192.0.2.1"), six})
	_, planned := r.Estimate(r.read(), changes)
	_, applied := r.Apply(t.Context(), r.read(), fence(1), changes)
	for _, err := range []error{planned, applied} {
		if err == nil || !strings.Contains(err.Error(), "app.example.test. needs 3 records") {
			t.Errorf("got %v, want the name and what it needs", err)
		}
	}
	if r.vendor.Swaps() != 0 {
		t.Errorf("%d requests were sent", r.vendor.Swaps())
	}
}

// TestFenceByHand: whatever somebody wrote at the fence's name, nothing is
// written, and the error says what to do.
func TestFenceByHand(t *testing.T) {
	at := providers.FenceName("shop", zone)
	text := func(texts ...string) providers.RRSet {
		s := providers.RRSet{Name: at, Type: "TXT", TTL: 60}
		for _, text := range texts {
			s.Data = append(s.Data, fenced.Quote(text))
		}
		return s
	}
	other := fence(1)
	other.Owner = "blog"
	for name, c := range map[string]struct {
		set  providers.RRSet
		want string
	}{
		"two":           {text(fence(1).String(), fence(2).String()), "2 fences stand at " + at},
		"garbage":       {text("hello"), "delete it if somebody wrote it by hand"},
		"half a quote":  {providers.RRSet{Name: at, Type: "TXT", TTL: 60, Data: []string{`"veer-fence`}}, "quote that is not closed"},
		"another's":     {text(other.String()), "names the owner blog; expected shop"},
		"a huge number": {text("veer-fence owner=shop term=99999999999999999999 holder=h write=1"), "expected"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, fenced.Size{})
			from := r.read()
			r.vendor.Put(zone, c.set)
			if _, err := r.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Read: %v; want %q", err, c.want)
			}
			_, err := r.Apply(t.Context(), from, fence(1), providers.Diff(nil, []providers.RRSet{set("app", "192.0.2.1")}))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Apply: %v; want %q", err, c.want)
			}
			left := r.vendor.All(zone, func(providers.RRSet) bool { return true })
			if len(left) != 1 || !left[0].Equal(c.set) {
				t.Errorf("the zone has %v, want what was written by hand alone", left)
			}
		})
	}
}

// TestMarks: who a name belongs to, whatever its owner's record says.
func TestMarks(t *testing.T) {
	long := strings.Repeat("x", 300)
	for data, want := range map[string]string{
		`"veer-owner owner=shop"`:              "shop",
		`veer-owner\032owner=shop`:             "shop",
		`"veer-owner " "owner=shop"`:           "shop",
		`"veer-owner owner=blog"`:              "blog",
		`"veer-owner owner="`:                  "(unreadable",
		`"veer-owner owner=a b"`:               "(unreadable",
		`"hello"`:                              "(unreadable",
		`"veer-owner owner=` + long + `"`:      "(unreadable",
		`"veer-owner owner=shop" trailing`:     "shoptrailing",
		`"veer-owner owner=shop`:               "(unreadable",
		`"Veer-Owner owner=shop"`:              "(unreadable",
		`"veer-owner owner=shop\"; DROP TABL"`: "(unreadable",
	} {
		r := newRig(t, fenced.Size{})
		app := set("app", "203.0.113.1")
		r.vendor.Put(zone, app)
		r.vendor.Put(zone, providers.RRSet{Name: providers.OwnerName(app.Name), Type: "TXT", TTL: 60, Data: []string{data}})
		got := r.read()
		if mine := want == "shop"; mine != (len(got.Owned) == 1) || mine != (len(got.Records) == 1) || !mine && !strings.HasPrefix(got.Owners[app.Name], want) {
			t.Errorf("%.60s: owned %v, owners %v; want %s", data, got.Owned, got.Owners, want)
		}
		if want == "shop" {
			continue
		}
		mine := set("app", "192.0.2.1")
		if _, err := r.Apply(t.Context(), got, fence(1), []providers.Change{{Before: &app, After: &mine}}); !errors.Is(err, providers.ErrConflict) {
			t.Errorf("%.60s: a name of %s was written: %v", data, want, err)
		}
	}
}

// TestConflicts: what an operator reads.
func TestConflicts(t *testing.T) {
	mine, theirs, blogs := set("mine", "192.0.2.1"), set("theirs", "203.0.113.1"), set("blogs", "203.0.113.2")
	stranger := set("stranger", "192.0.2.9")
	changed := set("mine", "192.0.2.7")
	for _, c := range []struct {
		change providers.Change
		want   string
	}{
		{providers.Change{Before: &theirs}, "theirs.example.test. A is not owned by shop: `veer import` takes the name, or remove its records"},
		{providers.Change{After: &theirs}, "theirs.example.test. A is not owned by shop"},
		{providers.Change{Before: &blogs}, "blogs.example.test. A belongs to blog"},
		{providers.Change{After: &mine}, "mine.example.test. A exists already"},
		{providers.Change{Before: &stranger}, "stranger.example.test. A is not owned by shop"},
		{providers.Change{Before: &changed, After: &mine}, "mine.example.test. A is not as the change has it"},
	} {
		r := newRig(t, fenced.Size{})
		for _, s := range []providers.RRSet{mine, theirs, blogs, fencedtest.Mark("shop", mine.Name), fencedtest.Mark("blog", blogs.Name)} {
			r.vendor.Put(zone, s)
		}
		_, err := r.Apply(t.Context(), r.read(), fence(1), []providers.Change{c.change})
		if !errors.Is(err, providers.ErrConflict) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "zone "+zone) {
			t.Errorf("got %v; want a conflict with %q", err, c.want)
		}
		if r.vendor.Swaps() != 0 {
			t.Errorf("%d requests were sent", r.vendor.Swaps())
		}
	}
}

// TestProofLeavesNothing: not even where it was cut off before.
func TestProofLeavesNothing(t *testing.T) {
	r := newRig(t, fenced.Size{})
	r.vendor.Put(zone, providers.RRSet{Name: providers.ScratchName("shop", zone), Type: "TXT", TTL: 60, Data: []string{`"left over"`}})
	// Of a proof whose requests arrived late and twice.
	r.vendor.Put(zone, providers.RRSet{Name: providers.ProofName("shop", zone), Type: "TXT", TTL: 60, Data: []string{`"another"`}})
	if err := r.Prove(t.Context(), zone); err != nil {
		t.Fatal(err)
	}
	if left := r.vendor.All(zone, func(providers.RRSet) bool { return true }); len(left) != 0 {
		t.Errorf("the proof left %v", left)
	}
	before := r.vendor.Swaps()
	if _, err := r.Apply(t.Context(), r.read(), fence(1), nil); err != nil {
		t.Fatal(err)
	}
	if swaps := r.vendor.Swaps() - before; swaps != 1 {
		t.Errorf("after the proof a claim took %d requests, want 1: the zone is proven once", swaps)
	}
}

// TestZones: other zones and other providers' snapshots are refused.
func TestZones(t *testing.T) {
	r, other := newRig(t, fenced.Size{}), newRig(t, fenced.Size{})
	snap := r.read()
	snap.Zone = "elsewhere.test."
	if _, err := r.Apply(t.Context(), snap, fence(1), nil); err == nil {
		t.Error("a zone that is not in the config was written")
	}
	foreign := other.read()
	foreign.Token = nil
	if _, err := r.Apply(t.Context(), foreign, fence(1), nil); err == nil {
		t.Error("a snapshot without a token was taken")
	}
	if _, err := r.Estimate(foreign, nil); err == nil {
		t.Error("a snapshot without a token was estimated")
	}
	if err := r.Prove(t.Context(), "elsewhere.test."); err == nil {
		t.Error("a zone that is not in the config was proven")
	}
}

// FuzzText: what Quote writes is read again, by Text and by any DNS library,
// and nothing makes Text panic.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", `"`, `\`, `\"`, `a"b\c`, "\x00\xff", `\065`, `\999`, `"a" "b"`, `"a`, `a\`, "ä", `"\"`, ` `, `" "`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := fenced.Quote(text)
		back, err := fenced.Text(quoted)
		if err != nil || back != text {
			t.Fatalf("%q was quoted as %s and read as %q, %v", text, quoted, back, err)
		}
		if len(text) <= 255 {
			rr, err := dns.NewRR("f. 60 IN TXT " + quoted)
			if err != nil || len(rr.(*dns.TXT).Txt) != 1 {
				t.Fatalf("%s is no TXT: %v", quoted, err)
			}
			if again, err := fenced.Text(strings.TrimPrefix(rr.String(), rr.Header().String())); err != nil || again != text {
				t.Fatalf("%s was read by a library and again as %q, %v", quoted, again, err)
			}
		}
		if got, err := fenced.Text(text); err == nil {
			if again, err := fenced.Text(fenced.Quote(got)); err != nil || again != got {
				t.Fatalf("%q was read as %q, which does not survive: %q, %v", text, got, again, err)
			}
		}
	})
}
