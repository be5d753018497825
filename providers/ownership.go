package providers

import (
	"fmt"
	"strings"
)

// Steered reports whether Veer writes sets of the type. At a name that Veer
// owns, sets of other types (MX at a zone's apex) are not Veer's.
func Steered(typ string) bool { return typ == "A" || typ == "AAAA" || typ == "CNAME" }

// TypeAlias is the type of a set whose data are host names that are answered
// with the hosts' addresses under the set's own name. It is on no wire: only a
// provider whose Caps say Flatten takes it.
const TypeAlias = "ALIAS"

// wildcard stands for the label * in the name of an owner's record: a * that
// is not the first label is no wildcard (RFC 4592, section 2.1.1), and some
// providers refuse it (PowerDNS's API does).
const wildcard = "_wildcard."

// OwnerName is where the TXT record stands that says who owns name. For a
// wildcard, "_wildcard" stands for the *.
func OwnerName(name string) string {
	name = CanonicalName(name)
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		name = wildcard + rest
	}
	return "_veer." + name
}

// OwnedName is the name whose owner a TXT record at ownerName tells.
func OwnedName(ownerName string) (string, bool) {
	name, ok := strings.CutPrefix(CanonicalName(ownerName), "_veer.")
	if rest, wild := strings.CutPrefix(name, wildcard); wild {
		name = "*." + rest
	}
	return name, ok && name != ""
}

// Reserved reports whether Veer keeps records of its own at the name, or would
// take it for another's, so that it cannot be steered.
func Reserved(name string) bool {
	first, _, _ := strings.Cut(CanonicalName(name), ".")
	switch first {
	case "_veer", "_veer-fence", "_veer-scratch", "_veer-proof", "_wildcard":
		return true
	}
	return false
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

// ClaimText is the text of the TXT record by which an owner claims a name
// before it makes its first record there, where a provider cannot make that
// depend on there being none. A name that is only claimed is not owned yet: the
// request that makes its first record turns the claim into OwnerText.
func ClaimText(owner string) string { return "veer-claim owner=" + owner }

// ParseClaim reads the text of ClaimText.
func ParseClaim(text string) (string, error) {
	owner, ok := strings.CutPrefix(text, "veer-claim owner=")
	if !ok || len(text) > maxFence || !word(owner) {
		return "", fmt.Errorf("claim %.300q: expected %q", text, "veer-claim owner=…")
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
