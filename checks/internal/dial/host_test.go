package dial_test

import (
	"net/url"
	"testing"

	"github.com/veerdns/veer/checks/internal/dial"
)

// FuzzHost holds HostName against net/url's reading of an authority.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{
		"a", "a.test", "a.test.", "a.test:80", "a.test:0", "a.test:65536", "[::1]", "[::1]:80", "::1", "192.0.2.1", "192.0.2.1:8080", "", ":", ":80", "a:", "a b", "a/b", "u@a", "[a]", "[::1", "[::1]x", "a..b", "_dmarc.a", "[192.0.2.1]", "a:+8", "[::%%]", "[fe80::1%25eth0]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host, err := dial.HostName(text)
		if err != nil {
			return
		}
		u, err := url.Parse("http://" + text + "/")
		if err != nil || u.Hostname() != host || u.Host != text || u.User != nil || u.Path != "/" {
			t.Fatalf("%q is host %q; net/url says %+v, %v", text, host, u, err)
		}
	})
}
