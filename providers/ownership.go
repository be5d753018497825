package providers

import (
	"fmt"
	"strings"
)

// Steered reports whether Veer writes sets of the type. At a name that Veer
// owns, sets of other types (MX at a zone's apex) are not Veer's.
func Steered(typ string) bool { return typ == "A" || typ == "AAAA" || typ == "CNAME" }

// OwnerName is where the TXT record stands that says who owns name.
func OwnerName(name string) string { return "_veer." + CanonicalName(name) }

// OwnedName is the name whose owner a TXT record at ownerName tells.
func OwnedName(ownerName string) (string, bool) {
	name, ok := strings.CutPrefix(CanonicalName(ownerName), "_veer.")
	return name, ok && name != ""
}

// FenceName is where the owner's fence stands in the zone.
func FenceName(owner, zone string) string { return "_veer-fence." + owner + "." + CanonicalName(zone) }

// ScratchName and ProofName are where the proof of the swap writes.
func ScratchName(owner, zone string) string {
	return "_veer-scratch." + owner + "." + CanonicalName(zone)
}

// ProofName is where the proof of the swap looks for what must not be there.
func ProofName(owner, zone string) string { return "_veer-proof." + owner + "." + CanonicalName(zone) }

// OwnerText is the text of an owner's TXT records.
func OwnerText(owner string) string { return "veer-owner owner=" + owner }

// ParseOwner reads the text of OwnerText.
func ParseOwner(text string) (string, error) {
	owner, ok := strings.CutPrefix(text, "veer-owner owner=")
	if !ok || len(text) > maxFence || !word(owner) {
		return "", fmt.Errorf("owner %.300q: expected %q", text, "veer-owner owner=…")
	}
	return owner, nil
}

// FirstFence is what a zone gets before its first real fence, where a provider
// cannot create a record on the condition that there is none: its text is the
// same whoever writes it, so that a second one is refused as identical.
func FirstFence(owner string) Fence { return Fence{Owner: owner, Holder: "none"} }

// word reports whether text is printable ASCII without spaces, quotes or
// backslashes, so that it is the same within a TXT record's quotes.
func word(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}
