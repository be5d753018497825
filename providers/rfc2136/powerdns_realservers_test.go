//go:build realservers

package rfc2136_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

const pdnsConfig = `launch=gsqlite3
gsqlite3-database=%[1]s/pdns.db
gsqlite3-pragma-synchronous=0
gsqlite3-dnssec=yes
local-address=127.0.0.1
local-port=%[2]d
socket-dir=%[1]s
daemon=no
guardian=no
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
allow-axfr-ips=192.0.2.255/32
lua-dnsupdate-policy-script=%[1]s/policy.lua
loglevel=5
`

// pdnsSchema is where Debian's pdns-backend-sqlite3 keeps it.
const pdnsSchema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"

// pdnsNames are the names in the policy of docs/providers/rfc2136.md.
func pdnsNames(zone string, steered, marks []string) string {
	var b strings.Builder
	for _, name := range steered {
		fmt.Fprintf(&b, "steered[ [[%s.%s]] ] = true\n", name, zone)
	}
	for _, name := range marks {
		fmt.Fprintf(&b, "marks[ [[%s.%s]] ] = true\n", name, zone)
	}
	return b.String()
}

// pdnsPolicy is what that policy does with them.
const pdnsPolicy = `
function updatepolicy(input)
  if input:getTsigName():toString() ~= "veer." then return false end
  local name, type = input:getQName():toString(), input:getQType()
  if type == pdns.TXT then return marks[name] == true end
  if type == pdns.A or type == pdns.AAAA or type == pdns.CNAME then return steered[name] == true end
  return false
end
`

// pdnsScript is the policy beside an admin's.
func pdnsScript(zones []zone) string {
	var b strings.Builder
	b.WriteString("local steered, marks = {}, {}\n")
	for _, z := range zones {
		b.WriteString(pdnsNames(z.name, z.steered(), z.marks()))
	}
	b.WriteString(pdnsPolicy + `
local veers = updatepolicy
function updatepolicy(input)
  return input:getTsigName():toString() == "admin." or veers(input)
end
`)
	return b.String()
}

// startPowerDNS runs Debian's pdns_server on a database of its own.
func startPowerDNS(t *testing.T) *primary {
	t.Helper()
	zones, port := zonesFor(3), freePort(t)
	dir := folder(t, map[string]string{"policy.lua": pdnsScript(zones)})
	var sql strings.Builder
	fmt.Fprintf(&sql, ".read %s\nBEGIN;\n", pdnsSchema)
	for _, k := range []rfc2136test.Key{veerKey, adminKey, otherKey} {
		fmt.Fprintf(&sql, "INSERT INTO tsigkeys (name, algorithm, secret) VALUES ('%s', '%s', '%s');\n", strings.TrimSuffix(k.Name, "."), strings.TrimSuffix(k.Algorithm, "."), k.Secret)
	}
	for i, z := range zones {
		name := strings.TrimSuffix(z.name, ".")
		fmt.Fprintf(&sql, "INSERT INTO domains (id, name, type) VALUES (%d, '%s', 'NATIVE');\n", i+1, name)
		fmt.Fprintf(&sql, "INSERT INTO records (domain_id, name, type, content, ttl) VALUES (%d, '%s', 'SOA', 'ns.invalid. hostmaster.%s. 1 60 60 600 5', 60), (%d, '%s', 'NS', 'ns.invalid', 60);\n", i+1, name, name, i+1, name)
		for _, key := range []string{"veer", "admin"} {
			fmt.Fprintf(&sql, "INSERT INTO domainmetadata (domain_id, kind, content) VALUES (%d, 'TSIG-ALLOW-DNSUPDATE', '%s'), (%d, 'TSIG-ALLOW-AXFR', '%s');\n", i+1, key, i+1, key)
		}
	}
	sql.WriteString("COMMIT;\n")
	make := exec.Command("sqlite3", filepath.Join(dir, "pdns.db"))
	make.Stdin = strings.NewReader(sql.String())
	if out, err := make.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("making the database: %v: %s", err, out)
	}
	path := folder(t, map[string]string{"pdns.conf": fmt.Sprintf(pdnsConfig, dir, port)})
	for _, z := range zones {
		if !z.signed {
			continue
		}
		if out, err := exec.Command("pdnsutil", "--config-dir="+path, "secure-zone", strings.TrimSuffix(z.name, ".")).CombinedOutput(); err != nil { // #nosec G204 -- the test's own
			t.Fatalf("signing a zone: %v: %s", err, out)
		}
	}
	log := start(t, "ready to distribute questions", "pdns_server", "--config-dir="+path)
	return &primary{address: local(port), log: log, free: zones, timeout: timeout}
}
