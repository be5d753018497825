package cluster_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
)

// authority is a small CA of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem"), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	raw, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file, "CERTIFICATE", raw)
	return a
}

// issue makes a certificate for the addresses of URLs.
func (a authority) issue(t *testing.T, urls ...string) cluster.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, u := range urls {
		host, _, err := net.SplitHostPort(strings.TrimPrefix(u, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(host))
	}
	c.IPAddresses = append(c.IPAddresses, net.IPv4(127, 0, 0, 1)) // from which loopback connects
	raw, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyRaw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out := cluster.TLS{CAFile: a.file, CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	writePEM(t, out.CertFile, "CERTIFICATE", raw)
	writePEM(t, out.KeyFile, "EC PRIVATE KEY", keyRaw)
	return out
}

// TestEmptyFoldersMeetUnderTLS: what members with empty folders tell each
// other is told under mutual TLS only; who has no certificate of the CA is
// neither told, nor listened to.
func TestEmptyFoldersMeetUnderTLS(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	ca, stranger := newAuthority(t), newAuthority(t)
	pairs := map[string]cluster.TLS{}
	for _, name := range trioNames {
		m := cluster.Member{Peer: "https://" + freeAddress(t), Client: "https://" + freeAddress(t)}
		x.conf.Members[name] = m
		pairs[name] = ca.issue(t, m.Peer, m.Client)
	}
	said := make(chan string, 100)
	open := func(ctx context.Context, name string, pair cluster.TLS) error {
		o := x.options(name)
		o.TLS = pair
		o.Waiting = func(why error) { said <- name + ": " + why.Error() }
		_, err := x.open(ctx, x.conf, o)
		return err
	}
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		wg.Go(func() {
			if err := open(within(t), name, pairs[name]); err != nil {
				t.Errorf("start %s: %v", name, err)
			}
		})
	}
	// A third with a certificate of another CA is not let in.
	ctx, cancel := context.WithCancel(within(t))
	false3 := make(chan error, 1)
	bad := stranger.issue(t, x.conf.Members["c"].Peer, x.conf.Members["c"].Client)
	go func() { false3 <- open(ctx, "c", bad) }()
	for heard := ""; !strings.HasPrefix(heard, "c: ") || !strings.Contains(heard, "certificate"); {
		select {
		case heard = <-said:
		case <-within(t).Done():
			t.Fatalf("the stranger is told nothing of certificates; the last was %q", heard)
		}
	}
	// Nor is a client without any.
	pool := x509.NewCertPool()
	pool.AddCert(mustParse(t, ca.file))
	plain := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	wantRefused(t, plain, x.conf.Members["a"].Peer+"/veer/birth")
	cancel()
	if err := <-false3; err == nil {
		t.Fatal("the stranger started")
	}
	if err := open(within(t), "c", pairs["c"]); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	x.settled("c", 3)
	fill(t, x.running["c"])
	before := contents(t, x.running["a"])
	// And a lost folder rejoins under TLS.
	x.stop("b")
	x.dirs["b"] = clustertest.ShortDir(t)
	if err := open(within(t), "b", pairs["b"]); err != nil {
		t.Fatal(err)
	}
	x.settled("b", 3)
	same(t, "under TLS", before, contents(t, x.running["b"]))
}

// wantRefused asks until the server refuses the client for its certificate: a
// member that waits for the others may not listen yet, or just make room for etcd.
func wantRefused(t *testing.T, client *http.Client, url string) {
	t.Helper()
	ctx := within(t)
	for {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			t.Fatalf("a client without a certificate is answered with status %d", resp.StatusCode)
		}
		if strings.Contains(err.Error(), "certificate required") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("a client without a certificate gets: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func mustParse(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
