package providers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
)

func TestCanonicalName(t *testing.T) {
	for in, want := range map[string]string{
		"": ".", ".": ".", "A.Example": "a.example.", "a.example.": "a.example.",
		`\042.Example.`: "*.example.", `\065.x`: "a.x.", `a\.`: `a\..`, `a\..`: `a\..`, `a\046b.x.`: `a\.b.x.`,
		`\200.x.`: `\200.x.`, "\x80.x.": `\128.x.`, `\$x.`: `$x.`, `a\\.x.`: `a\\.x.`, "*.w": "*.w.", `a\032b`: `a\ b.`,
	} {
		if got := providers.CanonicalName(in); got != want {
			t.Errorf("CanonicalName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestInZone(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		want       bool
	}{
		{"a.example.test", "example.test.", true}, {"EXAMPLE.test", "example.TEST", true}, {"x.", ".", true},
		{"badexample.test", "example.test", false}, {`a\.example.test.`, "example.test.", false},
		{`a\\.example.test.`, "example.test.", true}, {"test.", "example.test.", false}, {`\046example.test.`, "example.test.", false},
	} {
		if got := providers.InZone(c.name, c.zone); got != c.want {
			t.Errorf("InZone(%q, %q) = %v, want %v", c.name, c.zone, got, c.want)
		}
	}
}

// wireLabels draws a name's labels as bytes.
func wireLabels(t *rapid.T) [][]byte {
	return rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 12), 1, 4).Draw(t, "labels")
}

// escaped spells the labels in one of many ways.
func escaped(t *rapid.T, labels [][]byte) string {
	var b strings.Builder
	for _, l := range labels {
		for _, c := range l {
			upper := c
			if 'a' <= c && c <= 'z' && rapid.Bool().Draw(t, "upper") {
				upper = c - ('a' - 'A')
			}
			digits := []byte{'\\', '0' + upper/100, '0' + upper/10%10, '0' + upper%10}
			plainly := '0' <= c && c <= '9' || 'a' <= c && c <= 'z'
			switch {
			case plainly && rapid.Bool().Draw(t, "plain"):
				b.WriteByte(upper)
			case c > ' ' && c <= '~' && (c < '0' || c > '9') && rapid.Bool().Draw(t, "backslash"):
				b.Write([]byte{'\\', upper})
			default:
				b.Write(digits)
			}
		}
		b.WriteByte('.')
	}
	return b.String()
}

// TestSpellings: all spellings of a name have one canonical form, which is
// that of the DNS library, and being canonical is final.
func TestSpellings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := wireLabels(t)
		for _, l := range labels {
			for i, c := range l {
				if 'A' <= c && c <= 'Z' {
					l[i] = c + ('a' - 'A')
				}
			}
		}
		var wire []byte
		for _, l := range labels {
			wire = append(append(wire, byte(len(l))), l...)
		}
		want, _, err := dns.UnpackDomainName(append(wire, 0), 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			text := escaped(t, labels)
			got := providers.CanonicalName(text)
			if got != want {
				t.Fatalf("CanonicalName(%q) = %q, want %q", text, got, want)
			}
			if again := providers.CanonicalName(got); again != got {
				t.Fatalf("CanonicalName(%q) = %q: not final", got, again)
			}
			if zone := escaped(t, labels[len(labels)/2:]); !providers.InZone(text, zone) {
				t.Fatalf("InZone(%q, %q) is false", text, zone)
			}
		}
	})
}

// sets draws RRsets with few keys, so that they meet.
func sets(t *rapid.T, label string) []providers.RRSet {
	one := rapid.Custom(func(t *rapid.T) providers.RRSet {
		return providers.RRSet{
			Name:   rapid.SampledFrom([]string{"a.example.test.", "A.Example.Test", `\097.example.test.`, "b.example.test."}).Draw(t, "name"),
			Type:   rapid.SampledFrom([]string{"A", "a", "AAAA"}).Draw(t, "type"),
			SetID:  rapid.SampledFrom([]string{"", "eu", "us"}).Draw(t, "set"),
			Weight: rapid.Uint32Range(0, 2).Draw(t, "weight"),
			TTL:    rapid.Uint32Range(1, 3).Draw(t, "ttl"),
			Data:   rapid.SliceOfN(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:DB8:0::1"}), 1, 3).Draw(t, "data"),
		}
	})
	return rapid.SliceOfN(one, 0, 6).Draw(t, label)
}

func equalSets(a, b []providers.RRSet) bool {
	return slices.EqualFunc(a, b, func(x, y providers.RRSet) bool { return x.Equal(y) })
}

// TestDiffProperties: a diff applied gives what was wanted, twice gives
// nothing (property 8), back gives what was, and order has no meaning.
func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := sets(t, "before"), sets(t, "after")
		changes := providers.Diff(before, after)
		got, want := providers.ApplyTo(before, changes), providers.ApplyTo(after, nil)
		if !equalSets(got, want) {
			t.Fatalf("applied %+v, want %+v", got, want)
		}
		if again := providers.Diff(got, after); len(again) != 0 {
			t.Fatalf("the second diff is %+v, want none", again)
		}
		undo := make([]providers.Change, len(changes))
		for i, c := range changes {
			undo[i] = providers.Change{Before: c.After, After: c.Before}
		}
		if back := providers.ApplyTo(got, undo); !equalSets(back, providers.ApplyTo(before, nil)) {
			t.Fatalf("undone %+v, want %+v", back, before)
		}
		for i, c := range changes {
			if c.Before == nil && c.After == nil || c.Before != nil && c.After != nil && c.Before.Key() != c.After.Key() {
				t.Fatalf("change %d is not one: %+v", i, c)
			}
		}
		shuffled := rapid.Permutation(providers.ApplyTo(before, nil)).Draw(t, "shuffled")
		if d := providers.Diff(shuffled, before); len(d) != 0 {
			t.Fatalf("another order gives the diff %+v", d)
		}
	})
}

func FuzzParseFence(f *testing.F) {
	for _, s := range []string{
		"veer-fence owner=shop term=1 holder=h write=1", "veer-fence owner=shop term=18446744073709551615 holder=h write=0",
		"", " ", "veer-fence", "veer-fence owner= term=1 holder=h write=1", "veer-fence owner=a term=01 holder=h write=1",
		"veer-fence owner=a term=+1 holder=h write=1", "veer-fence owner=a term=-1 holder=h write=1", "veer-fence owner=a term=18446744073709551616 holder=h write=1",
		"veer-fence  owner=a term=1 holder=h write=1", "veer-fence owner=a term=1 holder=h write=1 ", "Veer-fence owner=a term=1 holder=h write=1",
		"veer-fence term=1 owner=a holder=h write=1", "veer-fence owner=a\tb term=1 holder=h write=1", `veer-fence owner=a"b term=1 holder=h write=1`,
		`veer-fence owner=a\b term=1 holder=h write=1`, "veer-fence owner=ä term=1 holder=h write=1", "veer-fence owner=a=b term=1 holder=h=i write=1",
		"veer-fence owner=a term=1 holder=h write=1\n", "veer-fence owner=a term=0x1 holder=h write=1", "veer-fence owner=a term=1_0 holder=h write=1",
		"veer-fence owner=" + strings.Repeat("o", 300) + " term=1 holder=h write=1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fence, err := providers.ParseFence(text)
		if err != nil {
			if fence != (providers.Fence{}) {
				t.Fatalf("error %v beside the fence %s", err, fence)
			}
			return
		}
		if fence.String() != text {
			t.Fatalf("%q was read as %q", text, fence)
		}
		// The text survives a TXT record's presentation form.
		rr, err := dns.NewRR(`f. 60 IN TXT "` + text + `"`)
		if err != nil || len(rr.(*dns.TXT).Txt) != 1 || rr.(*dns.TXT).Txt[0] != text {
			t.Fatalf("%q does not survive a TXT record: %v, %v", text, rr, err)
		}
		if next := fence.Next(); fence.Write+1 != 0 && fence.Admits(next) != nil {
			t.Fatalf("%s does not admit its own next write", fence)
		}
	})
}

// TestGuard: nothing that a fence admits can be followed by what it replaced.
func TestGuard(t *testing.T) {
	draw := func(t *rapid.T, label string) providers.Fence {
		return rapid.Custom(func(t *rapid.T) providers.Fence {
			return providers.Fence{Owner: "o", Term: rapid.Uint64Range(1, 3).Draw(t, "term"), Holder: rapid.SampledFrom([]string{"h", "i"}).Draw(t, "holder"), Write: rapid.Uint64Range(1, 4).Draw(t, "write")}
		}).Draw(t, label)
	}
	rapid.Check(t, func(t *rapid.T) {
		now, from, next := draw(t, "now"), draw(t, "from"), draw(t, "next")
		err := providers.Guard(now, from, next)
		if err == nil && (now != from || next.Term < now.Term || next.Write <= now.Write) {
			t.Fatalf("%s was let over %s, read as %s", next, now, from)
		}
		if err == nil && providers.Guard(next, from, now) == nil {
			t.Fatalf("%s and %s can replace each other", now, next)
		}
		if err == nil && providers.Guard(next, from, next) == nil {
			t.Fatalf("%s can be written twice", next)
		}
	})
}
