//go:build realservers

package dnscheck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/dnscheck"
)

const namedConfig = `
options {
  directory "%[1]s"; pid-file none; session-keyfile "%[1]s/session.key"; managed-keys-directory "%[1]s";
  listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 port %[2]d { ::1; };
  recursion no; dnssec-validation no; notify no;
};
controls {};
zone "example.test" { type primary; file "zone"; };
`

// TestNamed checks BIND over UDP and TCP, IPv4 and IPv6.
func TestNamed(t *testing.T) {
	folder := t.TempDir()
	target := checktest.Refused(t, "tcp", "127.0.0.1")
	long := strings.Repeat(`"`+strings.Repeat("x", 200)+`" `, 12)
	for name, content := range map[string]string{
		"named.conf": fmt.Sprintf(namedConfig, folder, target.Port),
		"zone": "$TTL 60\n@ SOA ns admin 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\nwww A 192.0.2.1\nwww A 192.0.2.2\n" +
			"www AAAA 2001:db8::1\nlong TXT " + long + "\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	named := checktest.Start(t, target, "named", "-g", "-n", "1", "-c", filepath.Join(folder, "named.conf"))
	for _, c := range []struct {
		config dnscheck.Config
		health checks.Health
		words  string
	}{
		{dnscheck.Config{Name: "www.example.test", Answers: []string{"192.0.2.2", "192.0.2.1"}}, checks.Up, "answered NOERROR with 2 records"},
		{dnscheck.Config{Name: "www.example.test", Answers: []string{"192.0.2.3"}}, checks.Down, "but without 192.0.2.3"},
		{dnscheck.Config{Name: "www.example.test", Type: "AAAA", Answers: []string{"2001:db8::1"}}, checks.Up, "1 record"},
		{dnscheck.Config{Name: "none.example.test"}, checks.Down, "answered NXDOMAIN"},
		{dnscheck.Config{Name: "none.example.test", Rcode: "NXDOMAIN"}, checks.Up, "NXDOMAIN"},
		{dnscheck.Config{Name: "elsewhere.test"}, checks.Down, "answered REFUSED"},
		{dnscheck.Config{Name: "long.example.test", Type: "TXT", Answers: []string{long}}, checks.Up, "1 record"},
	} {
		for _, host := range []string{"127.0.0.1", "::1"} {
			for _, transport := range []string{"udp", "tcp"} {
				c.config.Transport = transport
				at := checks.Target{Name: "dns@" + host, Host: host, Port: target.Port}
				checktest.Expect(t, checktest.Probe(t, prober(t, c.config), at, time.Minute), c.health, c.words)
			}
		}
	}
	named.Kill()
	p := prober(t, dnscheck.Config{Name: "www.example.test"})
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Down, "connection refused")
}
