package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/regions/cluster/certs"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const month = 30 * 24 * time.Hour

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// authority is a CA of Veer's own.
func authority(t testing.TB, owner string) (*certs.Authority, []*x509.Certificate) {
	t.Helper()
	pair := must(certs.NewAuthority(owner, noon, certs.CALife))(t)
	return must(certs.ParseAuthority(pair.Cert, pair.Key))(t), must(certs.ParseCAs(pair.Cert))(t)
}

func issued(t testing.TB, a *certs.Authority, r certs.Request) ([]*x509.Certificate, crypto.Signer) {
	t.Helper()
	if r.Life == 0 {
		r.Life = certs.LeafLife
	}
	pair := must(a.Issue(r, noon))(t)
	return must(certs.ParseChain(pair.Cert))(t), must(certs.ParseKey(pair.Key))(t)
}

func TestWhatIsIssuedServes(t *testing.T) {
	a, cas := authority(t, "shop")
	hosts := []string{"10.0.1.10", "2001:db8::1", "etcd-1.example.test"}
	chain, key := issued(t, a, certs.Request{Name: "eu-west", Owner: "shop", Hosts: hosts})
	leaf := chain[0]
	if got := certs.Name(leaf.Subject); got != "CN=eu-west,O=shop" {
		t.Errorf("the subject is %s", got)
	}
	if got := certs.Name(leaf.Issuer); got != "CN=Veer CA of shop,O=shop" {
		t.Errorf("the issuer is %s", got)
	}
	if got := certs.Hosts(leaf); !slices.Equal(got, hosts) {
		t.Errorf("it covers %v", got)
	}
	if got := certs.Usages(leaf); !slices.Equal(got, []string{"server", "client"}) {
		t.Errorf("it is for %v", got)
	}
	if k, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("the key is %T", leaf.PublicKey)
	}
	if left := leaf.NotAfter.Sub(noon); left != certs.LeafLife {
		t.Errorf("it lives %s", left)
	}
	if j := certs.Judge(chain, certs.Use{CAs: cas, Hosts: hosts, Key: key, Soon: month}, noon); len(j.Problems) > 0 || j.Soon != "" {
		t.Errorf("found %+v", j)
	}
	if j := certs.JudgeCAs(cas, month, noon); len(j.Problems) > 0 || j.Soon != "" {
		t.Errorf("found %+v of the CA", j)
	}
	client, _ := issued(t, a, certs.Request{Name: "witness", Owner: "shop"})
	if got := certs.Usages(client[0]); !slices.Equal(got, []string{"client"}) {
		t.Errorf("without an address it is for %v", got)
	}
}

func TestACertificateNeverOutlivesItsCA(t *testing.T) {
	pair := must(certs.NewAuthority("shop", noon, month))(t)
	a := must(certs.ParseAuthority(pair.Cert, pair.Key))(t)
	got := must(a.Issue(certs.Request{Name: "eu", Owner: "shop", Life: certs.LeafLife}, noon.Add(time.Hour)))(t)
	if !got.NotAfter.Equal(a.NotAfter()) {
		t.Errorf("it ends on %s, its CA on %s", got.NotAfter, a.NotAfter())
	}
	if _, err := a.Issue(certs.Request{Name: "eu", Owner: "shop", Life: time.Hour}, noon.Add(2*month)); err == nil || !strings.Contains(err.Error(), "make a new one") {
		t.Errorf("an expired CA issued: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	a, _ := authority(t, "shop")
	for _, host := range []string{"", "a b", "-a.test", "a..test", "x/y", "a.*.test", strings.Repeat("a", 64), "ü.test", "10.0.0.1:80", "https://a"} {
		_, err := a.Issue(certs.Request{Name: "eu", Hosts: []string{host}, Life: time.Hour}, noon)
		if err == nil || !strings.Contains(err.Error(), "expected an IP address or a DNS name") {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, life := range []time.Duration{-1, 0, time.Second, 6 * certs.CALife} {
		if _, err := a.Issue(certs.Request{Name: "eu", Life: life}, noon); err == nil || !strings.Contains(err.Error(), "found a life of") {
			t.Errorf("a life of %s: %v", life, err)
		}
	}
	if _, err := a.Issue(certs.Request{Name: "eu", Hosts: slices.Repeat([]string{"a.test"}, 101), Life: time.Hour}, noon); err == nil {
		t.Error("101 names were taken")
	}
}

// TestJudge: each fault is named, and nothing else is.
func TestJudge(t *testing.T) {
	a, cas := authority(t, "shop")
	other, otherCAs := authority(t, "shop") // the same name, another key
	hosts := []string{"10.0.1.10"}
	member := certs.Request{Name: "eu", Owner: "shop", Hosts: hosts}
	good, key := issued(t, a, member)
	stranger, strangerKey := issued(t, other, member)
	elsewhere, elsewhereKey := issued(t, a, certs.Request{Name: "us", Owner: "shop", Hosts: []string{"10.1.1.10", "us.test"}})
	client, clientKey := issued(t, a, certs.Request{Name: "eu", Owner: "shop"})
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		use   certs.Use
		now   time.Time
		want  string // "" is no problem
		soon  string
	}{
		{"good", good, certs.Use{CAs: cas, Hosts: hosts, Key: key}, noon, "", ""},
		{"good in a bundle", good, certs.Use{CAs: append(slices.Clone(otherCAs), cas...), Hosts: hosts, Key: key}, noon, "", ""},
		{"a CA that is not known", good, certs.Use{Hosts: hosts, Key: key}, noon, "", ""},
		{"soon", good, certs.Use{CAs: cas, Hosts: hosts, Key: key}, noon.Add(certs.LeafLife - 29*24*time.Hour), "", "it expires on 2027-06-01 12:00 UTC, in 29 days"},
		{"not soon", good, certs.Use{CAs: cas, Hosts: hosts, Key: key}, noon.Add(certs.LeafLife - 31*24*time.Hour), "", ""},
		{"expired", good, certs.Use{CAs: cas, Hosts: hosts, Key: key}, noon.Add(certs.LeafLife + time.Hour), "it expired on 2027-06-01 12:00 UTC", ""},
		{"not yet", good, certs.Use{CAs: cas, Hosts: hosts, Key: key}, noon.Add(-time.Hour), "it is not valid before 2026-06-01 11:55 UTC", ""},
		{"other CA", stranger, certs.Use{CAs: cas, Hosts: hosts, Key: strangerKey}, noon, "it is signed by CN=Veer CA of shop,O=shop, which is not the CA of", ""},
		{"other host", elsewhere, certs.Use{CAs: cas, Hosts: hosts, Key: elsewhereKey}, noon, "it does not cover 10.0.1.10, where this member listens (it covers 10.1.1.10, us.test)", ""},
		{"a client's on a member", client, certs.Use{CAs: cas, Hosts: hosts, Key: clientKey}, noon, "expected the extended key usage serverAuth|it does not cover 10.0.1.10, where this member listens (it covers nothing)", ""},
		{"a client's on a client", client, certs.Use{CAs: cas, Key: clientKey}, noon, "", ""},
		{"another key", good, certs.Use{CAs: cas, Hosts: hosts, Key: clientKey}, noon, "the key is not that of this certificate", ""},
		{"a CA's", cas, certs.Use{CAs: cas}, noon, "it is the certificate of a CA", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.use.Soon = month
			j := certs.Judge(c.chain, c.use, c.now)
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, "|")
			}
			if len(j.Problems) != len(want) || j.Soon != c.soon {
				t.Fatalf("found %q, soon %q", j.Problems, j.Soon)
			}
			for i := range want {
				if !strings.Contains(j.Problems[i], want[i]) {
					t.Errorf("found %q, want %q", j.Problems[i], want[i])
				}
			}
		})
	}
}

func TestJudgeCAs(t *testing.T) {
	old := must(certs.NewAuthority("shop", noon, month))(t)
	fresh := must(certs.NewAuthority("shop", noon, certs.CALife))(t)
	one, both := must(certs.ParseCAs(old.Cert))(t), must(certs.ParseCAs(append(old.Cert, fresh.Cert...)))(t)
	late := noon.Add(month + time.Hour)
	if j := certs.JudgeCAs(one, month, noon.Add(time.Hour)); len(j.Problems) > 0 || !strings.Contains(j.Soon, "expires on 2026-07-01 12:00 UTC, in 29 days") {
		t.Errorf("soon: %+v", j)
	}
	if j := certs.JudgeCAs(one, month, late); len(j.Problems) != 1 || !strings.Contains(j.Problems[0], "expired on 2026-07-01") {
		t.Errorf("expired: %+v", j)
	}
	if j := certs.JudgeCAs(both, month, late); len(j.Problems) > 0 || !strings.Contains(j.Soon, "can be taken out") {
		t.Errorf("a bundle with a good one: %+v", j)
	}
	// What an expired CA has signed is refused, whatever else is in the bundle.
	a := must(certs.ParseAuthority(old.Cert, old.Key))(t)
	chain, key := issued(t, a, certs.Request{Name: "eu", Owner: "shop"})
	if j := certs.Judge(chain, certs.Use{CAs: both, Key: key}, late); len(j.Problems) == 0 {
		t.Error("a certificate of an expired CA is good")
	}
}

// foreign is a chain as other CAs make it: RSA keys, an intermediate.
func foreign(t testing.TB, usages ...x509.ExtKeyUsage) (chain, root, key []byte) {
	t.Helper()
	make := func(serial int64, name string, ca bool, parent *x509.Certificate, by crypto.Signer) (*x509.Certificate, *rsa.PrivateKey) {
		k := must(rsa.GenerateKey(rand.Reader, 2048))(t)
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(year),
			IsCA: ca, BasicConstraintsValid: ca,
		}
		if ca {
			c.KeyUsage = x509.KeyUsageCertSign
		} else {
			c.ExtKeyUsage, c.IPAddresses = usages, []net.IP{net.IPv4(10, 0, 1, 10)}
		}
		if parent == nil {
			parent, by = c, k
		}
		der := must(x509.CreateCertificate(rand.Reader, c, parent, k.Public(), by))(t)
		return must(x509.ParseCertificate(der))(t), k
	}
	rootCert, rootKey := make(1, "Root", true, nil, nil)
	mid, midKey := make(2, "Intermediate", true, rootCert, rootKey)
	leaf, leafKey := make(3, "eu", false, mid, midKey)
	text := func(c *x509.Certificate) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return append(text(leaf), text(mid)...), text(rootCert), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(leafKey)})
}

const year = 365 * 24 * time.Hour

func TestChainOfAnotherCA(t *testing.T) {
	text, rootText, keyText := foreign(t, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth)
	use := certs.Use{CAs: must(certs.ParseCAs(rootText))(t), Hosts: []string{"10.0.1.10"}, Key: must(certs.ParseKey(keyText))(t)}
	chain := must(certs.ParseChain(append([]byte("Certificate:\n  Data: as openssl -text prints it\n"), text...)))(t)
	if j := certs.Judge(chain, use, noon); len(j.Problems) > 0 {
		t.Errorf("found %q", j.Problems)
	}
	if j := certs.Judge(chain[:1], use, noon); len(j.Problems) != 1 || !strings.Contains(j.Problems[0], "signed by CN=Intermediate") {
		t.Errorf("without the intermediate: %q", j.Problems)
	}
	text, rootText, keyText = foreign(t, x509.ExtKeyUsageServerAuth)
	use = certs.Use{CAs: must(certs.ParseCAs(rootText))(t), Key: must(certs.ParseKey(keyText))(t)}
	j := certs.Judge(must(certs.ParseChain(text))(t), use, noon)
	if len(j.Problems) != 1 || !strings.Contains(j.Problems[0], "may not be used by a client") {
		t.Errorf("a server's only: %q", j.Problems)
	}
}

func TestHostileFiles(t *testing.T) {
	pair := must(certs.NewAuthority("shop", noon, certs.CALife))(t)
	leaf := must(must(certs.ParseAuthority(pair.Cert, pair.Key))(t).Issue(certs.Request{Name: "eu", Life: time.Hour}, noon))(t)
	dir := t.TempDir()
	for _, c := range []struct {
		name, text, want string
		read             func(path string) error
	}{
		{"empty", "", "it holds no certificate: expected certificates in PEM", readChain},
		{"noise", "\x00\x01\xffhello", "it holds no certificate", readChain},
		{"a key alone", string(pair.Key), "it holds no certificate", readChain},
		{"cut off", string(pair.Cert[:len(pair.Cert)-40]), "is cut off or damaged", readChain},
		{"cut off after one", string(leaf.Cert) + string(pair.Cert[:60]), "block 2 is cut off", readChain},
		{"no DER", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "certificate 1 cannot be read", readChain},
		{"too large", strings.Repeat(" ", 1<<20+1), "more than 1048576 bytes", readChain},
		{"too many", strings.Repeat(string(leaf.Cert), 501), "more than 500 certificates", readChain},
		{"a request", "-----BEGIN CERTIFICATE REQUEST-----\naGVsbG8=\n-----END CERTIFICATE REQUEST-----\n", `a block "CERTIFICATE REQUEST"`, readChain},
		{"the CA's key given away", string(pair.Cert) + string(pair.Key), `a block "PRIVATE KEY": expected certificates only`, readCAs},
		{"no CA", string(leaf.Cert), "CN=eu,O= is no CA", readCAs},
		{"no key", string(pair.Cert), "it holds no key that can be read", readKey},
		{"bad key", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n", "the key cannot be read: expected PKCS #8", readKey},
		{"encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n", "without a passphrase", readKey},
		{"encrypted as of old", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n", "without a passphrase", readKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "file.pem")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := c.read(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := readChain(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if err := readChain(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := certs.ParseAuthority(pair.Cert, leaf.Key); err == nil || !strings.Contains(err.Error(), "the key is not that of the certificate") {
		t.Errorf("a CA with another's key: %v", err)
	}
}

func readChain(path string) error { _, err := certs.ReadChain(path); return err }
func readCAs(path string) error   { _, err := certs.ReadCAs(path); return err }
func readKey(path string) error   { _, err := certs.ReadKey(path); return err }

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	first := must(certs.NewAuthority("shop", noon, certs.CALife))(t)
	if err := certs.WritePair(first, cert, key, false); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{cert: 0o644, key: 0o600} {
		if is := must(os.Stat(path))(t).Mode(); is != want {
			t.Errorf("%s has the mode %v", path, is)
		}
	}
	second := must(certs.NewAuthority("shop", noon, certs.CALife))(t)
	same := func(want certs.Pair) {
		t.Helper()
		if string(must(os.ReadFile(cert))(t)) != string(want.Cert) || string(must(os.ReadFile(key))(t)) != string(want.Key) {
			t.Error("the files are others than they should be")
		}
	}
	if err := certs.WritePair(second, cert, key, false); !errors.Is(err, certs.ErrExists) || !strings.Contains(err.Error(), "ca.pem") {
		t.Errorf("wrote over a CA: %v", err)
	}
	same(first)
	// One of the two is there: neither is written.
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if err := certs.WritePair(second, cert, key, false); !errors.Is(err, certs.ErrExists) {
		t.Errorf("wrote over a key: %v", err)
	}
	if _, err := os.Stat(cert); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a pair was written: %v", err)
	}
	if err := certs.WritePair(second, cert, key, true); err != nil {
		t.Fatal(err)
	}
	same(second)
	must(certs.ReadAuthority(cert, key))(t)
	// Nothing is left behind, and nothing written where it cannot be.
	if all := must(os.ReadDir(dir))(t); len(all) != 2 {
		t.Errorf("the folder has %v", all)
	}
	if err := certs.WritePair(second, filepath.Join(dir, "none", "a"), filepath.Join(dir, "none", "b"), true); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}

// FuzzParse: whatever is in a file, it is refused with a reason, or it can be
// judged and printed.
func FuzzParse(f *testing.F) {
	pair := must(certs.NewAuthority("shop", noon, certs.CALife))(f)
	leaf := must(must(certs.ParseAuthority(pair.Cert, pair.Key))(f).Issue(certs.Request{Name: "eu", Owner: "shop", Hosts: []string{"10.0.0.1", "a.test"}, Life: time.Hour}, noon))(f)
	chain, root, key := foreign(f, x509.ExtKeyUsageAny)
	for _, seed := range [][]byte{pair.Cert, pair.Key, leaf.Cert, leaf.Key, chain, root, key, append(slices.Clone(leaf.Cert), leaf.Key...), nil} {
		f.Add(seed)
	}
	cas := must(certs.ParseCAs(pair.Cert))(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		signer, err := certs.ParseKey(text)
		if (signer == nil) != (err != nil) {
			t.Fatalf("key %v, error %v", signer, err)
		}
		all, err := certs.ParseChain(text)
		if (len(all) == 0) != (err != nil) {
			t.Fatalf("%d certificates, error %v", len(all), err)
		}
		if err != nil {
			printable(t, err.Error())
			return
		}
		j := certs.Judge(all, certs.Use{CAs: cas, Hosts: []string{"10.0.0.1"}, Key: signer, Soon: month}, noon)
		trusted := len(j.Problems) == 0
		if trusted && all[0].CheckSignatureFrom(cas[0]) != nil && len(all) == 1 {
			t.Fatal("a certificate that the CA has not signed is good")
		}
		for _, line := range append(j.Problems, j.Soon, certs.Name(all[0].Subject), certs.Name(all[0].Issuer)) {
			printable(t, line)
		}
		for _, h := range certs.Hosts(all[0]) {
			printable(t, h)
		}
		certs.Usages(all[0])
		certs.JudgeCAs(all, month, noon)
	})
}

func printable(t *testing.T, line string) {
	t.Helper()
	for _, r := range line {
		if r < ' ' || r >= 0x7f {
			t.Fatalf("%q is not printable", line)
		}
	}
}
