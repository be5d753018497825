package providers_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
)

// TestOwnerName: the mark of a name leads back to the name, no two names that
// may be steered share one, and none is itself a name that may be steered.
func TestOwnerName(t *testing.T) {
	if got := providers.OwnerName("*.Shop.Example."); got != "_veer._wildcard.shop.example." {
		t.Errorf("the mark of a wildcard is %q", got)
	}
	name := rapid.Custom(func(t *rapid.T) string {
		labels := rapid.SliceOfN(rapid.SampledFrom([]string{"*", "_wildcard", "_veer", "a", "B", `\042`, `x\.y`}), 1, 4).Draw(t, "labels")
		return strings.Join(labels, ".") + ".example."
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		if providers.Reserved(a) || providers.Reserved(b) {
			return
		}
		mark := providers.OwnerName(a)
		if back, ok := providers.OwnedName(mark); !ok || back != providers.CanonicalName(a) {
			t.Fatalf("the mark %s of %s leads to %s, %v", mark, a, back, ok)
		}
		if !providers.Reserved(mark) {
			t.Fatalf("the mark %s of %s could be steered", mark, a)
		}
		if (mark == providers.OwnerName(b)) != (providers.CanonicalName(a) == providers.CanonicalName(b)) {
			t.Fatalf("%s and %s: marks %s and %s", a, b, mark, providers.OwnerName(b))
		}
	})
}

func FuzzParseOwner(f *testing.F) {
	for _, s := range []string{"veer-owner owner=shop", "veer-owner owner=", "veer-owner  owner=a", `veer-owner owner=a"`, "veer-owner owner=a b", "Veer-owner owner=a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		owner, err := providers.ParseOwner(text)
		if err == nil && providers.OwnerText(owner) != text || err != nil && owner != "" {
			t.Fatalf("%q was read as %q, %v", text, owner, err)
		}
	})
}
