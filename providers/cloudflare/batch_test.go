package cloudflare

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// do makes a batch happen to records, in the documented order.
func (b batch) do(records []record) ([]record, error) {
	out := slices.Clone(records)
	at := func(id string) int { return slices.IndexFunc(out, func(r record) bool { return r.ID == id }) }
	for _, d := range b.Deletes {
		if at(d.ID) < 0 {
			return nil, fmt.Errorf("%s is deleted, and not there", d.ID)
		}
		out = slices.Delete(out, at(d.ID), at(d.ID)+1)
	}
	for _, p := range b.Patches {
		if at(p.ID) < 0 {
			return nil, fmt.Errorf("%s is patched, and not there", p.ID)
		}
		r := &out[at(p.ID)]
		if p.Content != "" {
			r.data = p.Content
		}
		if p.TTL != 0 {
			r.TTL = int64(p.TTL)
		}
	}
	for i, p := range b.Posts {
		out = append(out, record{ID: fmt.Sprintf("new%d", i), TTL: int64(p.TTL), data: p.Content, attributes: p.attributes})
	}
	return out, nil
}

// TestBatchOfAStep: whatever a set was, afterwards it is as wanted, with what it
// had besides, by the least number of changes; and something of it stays at
// every moment.
func TestBatchOfAStep(t *testing.T) {
	addresses := rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(1, 6), func(n int) string { return fmt.Sprintf("192.0.2.%d", n) }), 1, 6, rapid.ID)
	rapid.Check(t, func(t *rapid.T) {
		was, want := addresses.Draw(t, "was"), addresses.Draw(t, "want")
		proxied := rapid.Bool().Draw(t, "proxied")
		var records []record
		for i, data := range was {
			ttl := int64(rapid.SampledFrom([]int{60, 120}).Draw(t, "ttl"))
			if proxied {
				ttl = autoTTL
			}
			records = append(records, record{ID: fmt.Sprintf("old%d", i), TTL: ttl, name: "a.test.", Type: "A", data: data, attributes: attributes{Proxied: proxied, Comment: "ours"}})
		}
		before := set(records, "latch")
		after := fenced.Record{RRSet: providers.RRSet{Name: "a.test.", Type: "A", TTL: 60, Data: want}}
		var b batch
		if err := b.add(fenced.Step{Before: &before, After: &after}); err != nil {
			t.Fatal(err)
		}
		got, err := b.do(records)
		if err != nil {
			t.Fatal(err)
		}
		var data []string
		for _, r := range got {
			data = append(data, r.data)
			if !proxied && r.TTL != 60 || proxied && r.TTL != autoTTL || r.Comment != "ours" || r.Proxied != proxied {
				t.Fatalf("after %+v a record is %+v", b, r)
			}
		}
		slices.Sort(data)
		slices.Sort(want)
		if !slices.Equal(data, want) {
			t.Fatalf("%v became %v by %+v, want %v", was, data, b, want)
		}
		if len(b.Deletes) == len(records) {
			t.Fatalf("%+v deletes every record that there was", b)
		}
		if least := leastChanges(records, want, proxied); b.size() != least {
			t.Fatalf("%+v has %d changes, want %d", b, b.size(), least)
		}
	})
}

// leastChanges counts by another way: each record that must change or go, or
// else each that must come, whichever are more, and each that only has another
// TTL.
func leastChanges(records []record, want []string, proxied bool) int {
	go_, ttl := 0, 0
	for _, r := range records {
		switch {
		case !slices.Contains(want, r.data):
			go_++
		case !proxied && r.TTL != 60:
			ttl++
		}
	}
	come := len(want) - (len(records) - go_)
	return max(go_, come) + ttl
}

// TestBatchOfASwap: the fence is deleted and made, beside a latch that stays;
// where one of them is missing, it comes back.
func TestBatchOfASwap(t *testing.T) {
	latch, old := "veer-fence owner=shop term=0 holder=none write=0", fenced.Quote("old")
	after := fenced.Record{RRSet: providers.RRSet{Name: "f.test.", Type: "TXT", TTL: 60, Data: []string{fenced.Quote("new")}}}
	stand := map[string]record{
		"latch": {ID: "1", name: "f.test.", Type: "TXT", data: fenced.Quote(latch)},
		"fence": {ID: "2", name: "f.test.", Type: "TXT", data: old},
	}
	for _, c := range []struct {
		has   []string
		after *fenced.Record
		size  int
		left  []string
	}{
		{nil, &after, 2, []string{fenced.Quote("new"), fenced.Quote(latch)}},
		{[]string{"latch", "fence"}, &after, 2, []string{fenced.Quote("new"), fenced.Quote(latch)}},
		{[]string{"fence"}, &after, 3, []string{fenced.Quote("new"), fenced.Quote(latch)}},
		{[]string{"latch"}, &after, 3, []string{fenced.Quote("new"), fenced.Quote(latch)}},
		{[]string{"latch", "fence"}, nil, 2, nil},
	} {
		var records []record
		for _, name := range c.has {
			records = append(records, stand[name])
		}
		var before *fenced.Record
		if len(records) > 0 {
			one := set(records, latch)
			before = &one
		}
		var b batch
		if err := b.swap(latch, before, c.after); err != nil {
			t.Fatal(err)
		}
		got, err := b.do(records)
		var left []string
		for _, r := range got {
			left = append(left, r.data)
		}
		slices.Sort(left)
		if err != nil || b.size() != c.size || !slices.Equal(left, c.left) {
			t.Errorf("with %v: %+v left %q, %v; want %d changes that leave %q", c.has, b, left, err, c.size, c.left)
		}
	}
}
