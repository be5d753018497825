//go:build realservers

package rfc2136_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// bindPolicy is the policy of docs/providers/rfc2136.md.
func bindPolicy(zone string, steered, marks []string) string {
	var b strings.Builder
	for _, name := range steered {
		fmt.Fprintf(&b, "\t\tgrant veer. name %s.%s A AAAA CNAME;\n", name, zone)
	}
	for _, name := range marks {
		fmt.Fprintf(&b, "\t\tgrant veer. name %s.%s TXT;\n", name, zone)
	}
	return b.String()
}

// bindZone is a zone with that policy, beside an admin's.
func bindZone(z zone) string {
	more := ""
	if z.signed {
		more = "\tdnssec-policy default;\n"
	}
	return fmt.Sprintf("zone %q {\n\ttype primary;\n\tfile \"%szone\";\n\tcheck-names ignore;\n%s\tallow-transfer { key veer.; key admin.; };\n\tupdate-policy {\n%s\t\tgrant admin. zonesub ANY;\n\t};\n};\n",
		z.name, z.name, more, bindPolicy(z.name, z.steered(), z.marks()))
}

func bindKey(k rfc2136test.Key) string {
	return fmt.Sprintf("key %q { algorithm %s; secret %q; };\n", k.Name, strings.TrimSuffix(k.Algorithm, "."), k.Secret)
}

// startBIND runs Debian's named.
func startBIND(t *testing.T) *primary {
	t.Helper()
	zones, port := zonesFor(3), freePort(t)
	files := map[string]string{}
	var b strings.Builder
	fmt.Fprintf(&b, `options {
	directory ".";
	pid-file none;
	session-keyfile "session.key";
	listen-on port %d { 127.0.0.1; };
	notify no;
	listen-on-v6 { none; };
	recursion no;
	dnssec-validation no;
	allow-query { any; };
};
controls { };
`, port)
	for _, k := range []rfc2136test.Key{veerKey, adminKey, otherKey} {
		b.WriteString(bindKey(k))
	}
	for _, z := range zones {
		files[z.name+"zone"] = z.master()
		b.WriteString(bindZone(z))
	}
	dir := folder(t, files)
	config := strings.Replace(b.String(), `directory "."`, fmt.Sprintf("directory %q", dir), 1)
	path := filepath.Join(folder(t, map[string]string{"named.conf": config}), "named.conf")
	log := start(t, "all zones loaded", "named", "-g", "-4", "-n", "1", "-c", path)
	return &primary{address: local(port), log: log, free: zones, timeout: timeout}
}
