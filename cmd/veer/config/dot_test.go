package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions/cluster/certs"
)

// TestDNSOverTLSWarnings: a certificate that can't be used, or soon can't, is
// warned of; a config without DNS over TLS is not.
func TestDNSOverTLSWarnings(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca, err := certs.NewAuthority("lab", now, 400*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, caKey := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.key")
	if err := certs.WritePair(ca, cert, caKey, false); err != nil {
		t.Fatal(err)
	}
	signs, err := certs.ReadAuthority(cert, caKey)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := signs.Issue(certs.Request{Name: "eu-west", Owner: "lab", Life: 60 * 24 * time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := certs.WritePair(pair, cert, key, true); err != nil {
		t.Fatal(err)
	}
	c := &Config{Providers: Providers{{Name: "here", Authority: &authority.Config{}}}}
	for _, step := range []struct {
		listen bool
		key    string
		after  time.Duration
		want   string // "": no warning
	}{
		{false, "nowhere", 0, ""}, {true, key, 0, ""}, {true, key, 29 * 24 * time.Hour, ""}, {true, key, 31 * 24 * time.Hour, "it expires on "},
		{true, key, 61 * 24 * time.Hour, "it expired on "}, {true, key, -24 * time.Hour, "it is not valid before "},
		{true, caKey, 0, "private key does not match"}, {true, filepath.Join(dir, "none"), 0, "no such file"},
	} {
		own := c.Providers[0].Authority
		if own.TLS = (authority.TLS{CertFile: cert, KeyFile: step.key}); step.listen {
			own.TLS.Listen = []string{"0.0.0.0:853"}
		}
		got := strings.Join(c.CertificateWarnings(now.Add(step.after)), "\n")
		if (got == "") != (step.want == "") || !strings.Contains(got, step.want) || got != "" && !strings.HasPrefix(got, "providers.here.tls.cert_file") {
			t.Errorf("after %s, with the key %s: %q, want %q", step.after, step.key, got, step.want)
		}
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
}
