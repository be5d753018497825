package daemon_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/daemon"
)

// TestStatusWarnsOfCertificates: one that ends in 20 days.
func TestStatusWarnsOfCertificates(t *testing.T) {
	l := newLab(t)
	if _, err := daemon.InitCA(l.dir, "lab", time.Now(), daemon.CALife, false); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.IssueCert(l.dir, "lab", "eu-west", nil, time.Now(), 20*24*time.Hour+time.Hour, false); err != nil {
		t.Fatal(err)
	}
	l.write("host.yaml", "tls: {ca_file: ca.pem, cert_file: eu-west.pem, key_file: eu-west.key}\n")
	l.write("veer.yaml", string(oneVantage(t, l)))
	l.start("eu-west", daemon.RoleAll)
	st, err := l.client("eu-west").Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(st.Warnings, func(w string) bool {
		return strings.HasPrefix(w, "host.tls.cert_file ") && strings.HasSuffix(w, ", in 20 days")
	}) {
		t.Errorf("found %q", st.Warnings)
	}
}
