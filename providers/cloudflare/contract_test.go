package cloudflare_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
	"github.com/veerdns/veer/providers/providertest"
)

const zone = "example.test."

func TestContract(t *testing.T) {
	providertest.RunBubble(t, func(t *testing.T) providertest.World {
		return cloudflaretest.NewWorld(t, zone).Contract(t, "shop")
	})
}

// TestBrokenAPI: an API that breaks a rule on which the adapter rests is found by
// the contract; by the proof of the swap, before anything is written, where no
// page of the vendor's tells the rule.
func TestBrokenAPI(t *testing.T) {
	for rule, says := range map[cloudflaretest.Rule]string{
		cloudflaretest.Missing:     "does not refuse a stale write",
		cloudflaretest.Identical:   "does not refuse a stale write",
		cloudflaretest.Transaction: "",
		cloudflaretest.Keep:        "attribute",
		cloudflaretest.Paging:      "on one page",
	} {
		t.Run(string(rule), func(t *testing.T) {
			var failed map[string]string
			synctest.Test(t, func(t *testing.T) {
				failed = providertest.Failures(t, func(t *testing.T) providertest.World {
					w := cloudflaretest.NewWorld(t, zone)
					w.Server.Without(rule)
					return w.Contract(t, "shop")
				})
			})
			for _, test := range slices.Sorted(maps.Keys(failed)) {
				if strings.Contains(failed[test], says) {
					t.Logf("found by %q: %s", test, failed[test])
					return
				}
			}
			t.Errorf("not found with %q; found by %v", says, failed)
		})
	}
}
