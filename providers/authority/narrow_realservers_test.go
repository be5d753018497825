//go:build realservers && linux

package authority

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const envNarrow = "VEER_TEST_NARROW"

// TestNarrowLink: an answer that a link cannot take in one piece comes truncated
// over UDP, and whole over TCP. It runs in a network of its own, whose loopback
// is that link.
func TestNarrowLink(t *testing.T) {
	if os.Getenv(envNarrow) == "" {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		child := exec.CommandContext(ctx, "unshare", "-n", "sh", "-c", `ip link set lo mtu 500 up && exec "$0" -test.run '^TestNarrowLink$' -test.v`, os.Args[0]) // #nosec G204 -- this test itself
		child.Env = append(os.Environ(), envNarrow+"=1")
		if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestNarrowLink") {
			t.Fatalf("%v; it says:\n%s", err, out)
		}
		return
	}
	file := filepath.Join(t.TempDir(), "zone")
	text := fmt.Sprintf("$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nlong TXT %q %q %q\n", strings.Repeat("a", 200), strings.Repeat("b", 200), strings.Repeat("c", 200))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, Config{Listen: []string{"127.0.0.1:0"}, Zones: []Zone{{Name: "narrow.test", File: file}}}, Options{Log: quiet()})
	m := new(dns.Msg).SetQuestion("long.narrow.test.", dns.TypeTXT).SetEdns0(1232, false)
	for _, network := range []string{"udp", "tcp"} {
		r, _, err := (&dns.Client{Net: network}).Exchange(m, s.Addrs()[0].String())
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if whole := network == "tcp"; r.Truncated == whole || len(r.Answer) == 1 != whole || r.Rcode != dns.RcodeSuccess {
			t.Errorf("over %s came\n%v", network, r)
		}
	}
}
