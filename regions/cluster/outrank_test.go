package cluster

import (
	"testing"

	"github.com/veerdns/veer/regions"
)

// TestOutrank: a leader below a term that is served elsewhere is deposed, and
// the next one is above; one that is above stays.
func TestOutrank(t *testing.T) {
	c := startAlone(t, Options{})
	low, err := c.Campaign(c.ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Outrank(c.ctx, 30); err != nil {
		t.Fatal(err)
	}
	<-low.Done()
	high, err := c.Campaign(c.ctx, "a")
	if err != nil || high.Term() != 31 {
		t.Fatalf("%v, %v: expected term 31", high, err)
	}
	for _, served := range []uint64{0, 5, 30, 31, 1 << 63} {
		if err := c.Outrank(c.ctx, regions.Term(served)); err != nil {
			t.Fatal(err)
		}
	}
	if !high.Sure() || c.get(c.keys.term()) == "" {
		t.Error("a leader that is above what is served was deposed")
	}
	c.put(c.keys.term(), "{}")
	if err := c.Outrank(c.ctx, 99); err == nil {
		t.Error("a term that cannot be read was overwritten")
	}
}
