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

// pdnsPolicy is the policy of docs/providers/rfc2136.md, beside an admin's: the
// names by zone, "*" for all.
func pdnsPolicy(zones []zone) string {
	var b strings.Builder
	b.WriteString("local steered, marks = {}, {}\n")
	for _, z := range zones {
		for _, name := range z.steered() {
			fmt.Fprintf(&b, "steered[ [[%s.%s]] ] = true\n", name, z.name)
		}
		for _, name := range z.marks() {
			fmt.Fprintf(&b, "marks[ [[%s.%s]] ] = true\n", name, z.name)
		}
	}
	b.WriteString(`
function updatepolicy(input)
  local key = input:getTsigName():toString()
  if key == "admin." then return true end
  if key ~= "veer." then return false end
  local name, type = input:getQName():toString(), input:getQType()
  if type == pdns.TXT then return marks[name] == true end
  if type == pdns.A or type == pdns.AAAA or type == pdns.CNAME then return steered[name] == true end
  return false
end
`)
	return b.String()
}

// startPowerDNS runs Debian's pdns_server on a database of its own.
func startPowerDNS(t *testing.T) *primary {
	t.Helper()
	zones, port := zonesFor(3), freePort(t)
	dir := folder(t, map[string]string{"policy.lua": pdnsPolicy(zones)})
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
	log := start(t, "ready to distribute questions", "pdns_server", "--config-dir="+path)
	return &primary{address: local(port), log: log, free: zones, timeout: timeout}
}
