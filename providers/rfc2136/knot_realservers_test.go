//go:build realservers

package rfc2136_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// knotACL is the policy of docs/providers/rfc2136.md: names without a final dot
// are relative to the zone that is updated.
func knotACL(id string, steered, marks []string) string {
	return fmt.Sprintf(`  - id: %s
    key: veer.
    action: update
    update-type: [A, AAAA, CNAME, TXT]
    update-owner: name
    update-owner-match: equal
    update-owner-name: ["%s"]
`, id, strings.Join(append(steered, marks...), `", "`))
}

// startKnot runs Debian's knotd.
func startKnot(t *testing.T) *primary {
	t.Helper()
	zones, port := zonesFor(3), freePort(t)
	files := map[string]string{}
	for _, z := range zones {
		files[z.name+"zone"] = z.master()
	}
	dir := folder(t, files)
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  listen: 127.0.0.1@%d
  rundir: %q
  udp-workers: 2
  tcp-workers: 2
  background-workers: 2
log:
  - target: stderr
    any: debug
database:
  storage: %q
key:
`, port, dir, dir)
	for _, k := range []rfc2136test.Key{veerKey, adminKey, otherKey} {
		fmt.Fprintf(&b, "  - id: %s\n    algorithm: %s\n    secret: %s\n", k.Name, strings.TrimSuffix(k.Algorithm, "."), k.Secret)
	}
	b.WriteString("acl:\n  - id: read\n    key: veer.\n    action: transfer\n  - id: admin\n    key: admin.\n    action: [transfer, update]\n")
	for id, z := range map[string]zone{"veer": {name: "z.test."}, "wide": {name: "z.test.", wide: true}} {
		b.WriteString(knotACL(id, z.steered(), z.marks()))
	}
	fmt.Fprintf(&b, "template:\n  - id: default\n    storage: %q\n    file: \"%%s.zone\"\n    zonefile-sync: -1\nzone:\n", dir)
	for _, z := range zones {
		acl := "veer"
		if z.wide {
			acl = "wide"
		}
		fmt.Fprintf(&b, "  - domain: %s\n    file: %szone\n    acl: [read, %s, admin]\n    dnssec-signing: %t\n", z.name, z.name, acl, z.signed)
	}
	path := filepath.Join(folder(t, map[string]string{"knot.conf": b.String()}), "knot.conf")
	log := start(t, "server started", "knotd", "-c", path)
	return &primary{address: local(port), log: log, free: zones, timeout: timeout}
}
