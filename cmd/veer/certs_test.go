package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/config"
)

const securedConfig = `owner: lab
cluster:
  members:
    eu: {peer: "https://10.0.1.10:2380", client: "https://10.0.1.10:2379"}
    us: {peer: "https://10.1.1.10:2380", client: "https://10.1.1.10:2379"}
    ap: {peer: "https://10.2.1.10:2380", client: "https://10.2.1.10:2379"}
regions: [eu, us, ap]
vantages: [eu, us, ap, lone]
providers:
  here: {kind: authority, listen: ["127.0.0.1:5300"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: tcp, port: 80}
services:
  - {name: app.example.test, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}, {region: us, endpoints: [192.0.2.2]}]}
`

// ring is a folder with a config whose host is a region, at a time.
type ring struct {
	t    *testing.T
	dir  string
	now  time.Time
	last *session
}

func newRing(t *testing.T) *ring {
	r := &ring{t: t, dir: t.TempDir(), now: noon()}
	r.write("veer.yaml", securedConfig)
	r.write("example.test.zone", config.StarterZone())
	r.host("eu", "eu")
	return r
}

func (r *ring) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// host says which region this host is, and whose files it has.
func (r *ring) host(region, files string) {
	r.write("host.yaml", "region: "+region+"\ntls: {ca_file: ca.pem, cert_file: "+files+".pem, key_file: "+files+".key}\n")
}

func (r *ring) path(name string) string { return filepath.Join(r.dir, name) }

// veer runs a command, and holds its exit code and what it says.
func (r *ring) veer(exit int, want string, args ...string) {
	r.t.Helper()
	r.last = newSession(nil, "", nil)
	r.last.now = func() time.Time { return r.now }
	args = append(args, "-c", r.path("veer.yaml"))
	if args[0] == "certs" && args[1] != "show" {
		args = append(args, "--dir", r.dir)
	}
	got := r.last.run(r.t.Context(), args)
	said := r.last.stdout.String() + r.last.stderr.String()
	if got != exit || !strings.Contains(strings.Join(strings.Fields(said), " "), want) {
		r.t.Errorf("veer %s: exit %d, want %d and %q:\n%s", strings.Join(args, " "), got, exit, want, said)
	}
}

// TestCerts is the way of docs/certificates.md, and what can be wrong.
func TestCerts(t *testing.T) {
	r := newRing(t)
	r.veer(exitFailed, "ca.pem: no such file", "certs", "issue", "eu")
	r.veer(exitDone, "valid until 2036-11-17", "certs", "init")
	r.veer(exitRefused, "Add --force to replace it", "certs", "init")
	r.veer(exitDone, "covers 10.0.1.10 valid until 2027-11-20", "certs", "issue", "eu")
	r.veer(exitRefused, "eu.pem: it exists already", "certs", "issue", "eu")
	r.veer(exitDone, "covers 10.1.1.10, veer.us.test valid until 2026-12-10", "certs", "issue", "us", "--san", "veer.us.test", "--days", "20")
	r.veer(exitDone, "lone.key valid until", "certs", "issue", "lone")
	r.veer(exitUsage, `no region, vantage or member "eux"; did you mean eu?`, "certs", "issue", "eux")
	r.veer(exitFailed, `"a b": expected an IP address or a DNS name`, "certs", "issue", "ap", "--san", "a b")
	r.veer(exitFailed, "found a life of", "certs", "issue", "ap", "--days", "0")

	r.veer(exitDone, "subject CN=eu,O=lab issuer CN=Veer CA of lab,O=lab covers 10.0.1.10 for server, client valid 2026-11-20 11:55:00 to 2027-11-20 12:00:00 UTC good", "certs", "show")
	r.veer(exitDegraded, "SOON it expires on 2026-12-10 12:00 UTC, in 20 days", "certs", "show", r.path("us.pem"))
	r.veer(exitDone, "good", "certs", "show", r.path("us.pem"), "--soon", "19")
	r.veer(exitDone, "for client", "certs", "show", r.path("lone.pem"))
	r.veer(exitFailed, "it does not cover 10.0.1.10, where this member listens (it covers 10.1.1.10, veer.us.test)", "certs", "show", r.path("us.pem"), "--region", "eu")
	r.veer(exitFailed, "it may not be used by a server, which a member is: expected the extended key usage serverAuth", "certs", "show", r.path("lone.pem"), "--region", "ap")
	r.veer(exitFailed, "it holds no certificate: expected certificates in PEM", "certs", "show", r.path("veer.yaml"))
	r.veer(exitDone, "key", "certs", "show", r.path("eu.key"))

	r.veer(exitDone, `"kind": "certificate", "region": "eu", "subject": "CN=eu,O=lab", "names": [ "10.0.1.10" ], "issuer": "CN=Veer CA of lab,O=lab"`, "certs", "show", "-o", "json")
	var files []config.CertificateFile
	if err := json.Unmarshal(r.last.stdout.Bytes(), &files); err != nil || len(files) != 3 {
		t.Errorf("%v: %s", err, r.last.stdout.String())
	}
	r.veer(exitDone, `"names": [ "10.0.1.10" ], "not_after": "2026-11-21T12:00:00Z"`, "certs", "issue", "eu", "--days", "1", "--force", "-o", "json")
}

// TestCertsInitMakesItsFolder, for its owner alone: the key of the CA is in it.
func TestCertsInitMakesItsFolder(t *testing.T) {
	r := newRing(t)
	dir := r.path("new/ca")
	s := newSession(nil, "", nil)
	if got := s.run(t.Context(), []string{"certs", "init", "-c", r.path("veer.yaml"), "--dir", dir}); got != exitDone {
		t.Fatalf("exit %d: %s", got, s.stderr.String())
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v; expected mode 0700", info, err)
	}
}

// TestValidateJudgesCertificates: what is wrong with those of this host.
func TestValidateJudgesCertificates(t *testing.T) {
	r := newRing(t)
	r.write("host.yaml", "region: eu\n")
	r.veer(exitDone, "the member eu listens with https, and host.tls does not name ca_file and cert_file and key_file: it cannot start", "validate")
	r.host("eu", "eu")
	r.veer(exitUsage, `tls.cert_file: cannot read "eu.pem": no such file or directory`, "validate")
	r.veer(exitDone, "", "certs", "init")
	r.veer(exitDone, "", "certs", "issue", "eu")
	r.veer(exitDone, "", "certs", "issue", "us")
	r.veer(exitDone, "valid", "validate")
	if strings.Contains(r.last.stdout.String(), "host.tls") {
		t.Errorf("warned of good certificates:\n%s", r.last.stdout.String())
	}
	for _, c := range []struct {
		what, want string
		change     func()
	}{
		{"another region's", "it does not cover 10.0.1.10, where this member listens (it covers 10.1.1.10)", func() { r.host("eu", "us") }},
		{"another's key", "the key is not that of this certificate", func() {
			r.write("host.yaml", "region: eu\ntls: {ca_file: ca.pem, cert_file: eu.pem, key_file: us.key}\n")
		}},
		{"soon", "it expires on 2027-11-20 12:00 UTC, in 30 days", func() { r.now = noon().Add(335 * aDay) }},
		{"expired", "it expired on 2027-11-20 12:00 UTC", func() { r.now = noon().Add(366 * aDay) }},
		{"a key for all to read", "everybody on this host may read the key (mode 0644): chmod 600", func() {
			if err := os.Chmod(r.path("eu.key"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"another CA", "which is not the CA of host.tls.ca_file", func() {
			r.veer(exitDone, "", "certs", "init", "--force")
		}},
		{"no PEM", "it holds no certificate: expected certificates in PEM", func() { r.write("ca.pem", "hello\n") }},
	} {
		t.Run(c.what, func(t *testing.T) {
			r.host("eu", "eu")
			r.now = noon()
			c.change()
			r.veer(exitDone, c.want, "validate")
		})
	}
}
