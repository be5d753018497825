package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/certs"
	"github.com/veerdns/veer/regions/cluster/clustertest"
)

// ca is a CA with the folder of its files.
type ca struct {
	*certs.Authority
	dir, file string
}

func newCA(t *testing.T, now time.Time) ca {
	t.Helper()
	c := ca{dir: t.TempDir()}
	pair, err := certs.NewAuthority("test", now, certs.CALife)
	if err != nil {
		t.Fatal(err)
	}
	c.file = filepath.Join(c.dir, "ca.pem")
	key := filepath.Join(c.dir, "ca.key")
	if err := certs.WritePair(pair, c.file, key, false); err != nil {
		t.Fatal(err)
	}
	if c.Authority, err = certs.ReadAuthority(c.file, key); err != nil {
		t.Fatal(err)
	}
	return c
}

// issue writes the files of a holder, over those that are there.
func (c ca) issue(t *testing.T, name string, now time.Time, life time.Duration, hosts ...string) cluster.TLS {
	t.Helper()
	files := cluster.TLS{CAFile: c.file, CertFile: filepath.Join(c.dir, name+".pem"), KeyFile: filepath.Join(c.dir, name+".key")}
	c.reissue(t, files, name, now, life, hosts...)
	return files
}

func (c ca) reissue(t *testing.T, files cluster.TLS, name string, now time.Time, life time.Duration, hosts ...string) {
	t.Helper()
	pair, err := c.Issue(certs.Request{Name: name, Owner: "test", Hosts: hosts, Life: life}, now)
	if err == nil {
		err = certs.WritePair(pair, files.CertFile, files.KeyFile, true)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// secured are members that listen with https.
func secured(t *testing.T, names ...string) cluster.Config {
	conf := fast()
	conf.Members = map[string]cluster.Member{}
	for _, name := range names {
		conf.Members[name] = cluster.Member{Peer: "https://" + freeAddress(t), Client: "https://" + freeAddress(t)}
	}
	return conf
}

func hostsOf(t *testing.T, m cluster.Member) []string {
	t.Helper()
	var out []string
	for _, raw := range []string{m.Peer, m.Client} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, u.Hostname())
	}
	return out
}

// reach waits until etcd answers.
func reach(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx := within(t)
	for err := c.Reach(ctx); err != nil; err = c.Reach(ctx) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// greet makes an HTTP request at a port of a member, which every one answers,
// with the certificate in the files, if any.
func greet(t *testing.T, at string, trust ca, files *cluster.TLS) (serial *big.Int, err error) {
	t.Helper()
	pem, err := os.ReadFile(trust.file)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool()}
	conf.RootCAs.AppendCertsFromPEM(pem)
	if files != nil {
		pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	ctx, cancel := context.WithTimeout(within(t), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	dialed, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	defer dialed.Close()
	defer context.AfterFunc(ctx, func() { _ = dialed.Close() })()
	req.Close = true
	// Who takes no certificate says so after the handshake (RFC 8446, section 4.4.2.4),
	// and closes: that can be read also where the request could not be written any more.
	_ = req.Write(dialed)
	resp, err := http.ReadResponse(bufio.NewReader(dialed), req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return nil, err
	}
	return dialed.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber, nil
}

// TestMutualTLS: on both ports of every member only those get in whom the CA
// vouches for.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	now := time.Now()
	own, other := newCA(t, now.Add(-48*time.Hour)), newCA(t, now)
	conf := secured(t, "a", "b", "c")
	options := map[string]cluster.Options{}
	for name, m := range conf.Members {
		files := own.issue(t, name, now, time.Hour, hostsOf(t, m)...)
		options[name] = cluster.Options{Owner: "test", Name: name, DataDir: clustertest.ShortDir(t), TLS: files}
	}
	for _, m := range startAll(t, conf, options) {
		reach(t, m)
	}
	good := own.issue(t, "witness", now, time.Hour)
	stranger := other.issue(t, "a", now, time.Hour, hostsOf(t, conf.Members["a"])...)
	expired := own.issue(t, "late", now.Add(-24*time.Hour), time.Hour)
	for name, m := range conf.Members {
		for _, port := range []string{m.Peer, m.Client} {
			if _, err := greet(t, port, own, &good); err != nil {
				t.Errorf("%s of %s refused a good certificate: %v", port, name, err)
			}
			for what, files := range map[string]*cluster.TLS{"no certificate": nil, "another CA's": &stranger, "an expired one": &expired} {
				if _, err := greet(t, port, own, files); err == nil || !strings.Contains(err.Error(), "tls: ") {
					t.Errorf("%s of %s took %s: %v", port, name, what, err)
				}
			}
		}
	}
	// The same by Veer's own client.
	endpoints := fast()
	endpoints.Endpoints = []string{conf.Members["a"].Client, conf.Members["b"].Client}
	welcome := start(t, endpoints, cluster.Options{Owner: "test", Name: "witness", TLS: good})
	reach(t, welcome)
	if err := welcome.Trouble(); err != nil {
		t.Errorf("who is let in has a trouble: %v", err)
	}
	stranger.CAFile = own.file // it trusts the members; they do not trust it
	for what, files := range map[string]cluster.TLS{"no certificate": {CAFile: own.file}, "another CA's": stranger, "an expired one": expired} {
		cl := start(t, endpoints, cluster.Options{Owner: "test", Name: "x", TLS: files})
		refused(t, cl, what, "tls: ")
	}
	// And the other way round: a client that does not trust the members.
	mistrust := good
	mistrust.CAFile = other.file
	refused(t, start(t, endpoints, cluster.Options{Owner: "test", Name: "x", TLS: mistrust}), "another CA for the members", "certificate signed by unknown authority")
}

// refused holds that a client gets no answer, for the reason that it gives.
func refused(t *testing.T, cl *cluster.Cluster, what, why string) {
	t.Helper()
	ctx := within(t)
	for cl.Trouble() == nil && ctx.Err() == nil { // a handshake may take longer than a request waits
		_ = cl.Reach(ctx)
	}
	if err := cl.Reach(ctx); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: got %v, want %q", what, err, why)
	}
	if err := cl.Trouble(); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: the trouble is %v, want %q", what, err, why)
	}
}

// TestMemberOfAnotherCA: it gets into no cluster, and the others go on.
func TestMemberOfAnotherCA(t *testing.T) {
	t.Parallel()
	now := time.Now()
	own, other := newCA(t, now), newCA(t, now)
	conf := secured(t, "a", "b", "c")
	options := map[string]cluster.Options{}
	for name, m := range conf.Members {
		files := own.issue(t, name, now, time.Hour, hostsOf(t, m)...)
		options[name] = cluster.Options{Owner: "test", Name: name, DataDir: clustertest.ShortDir(t), TLS: files}
	}
	// They are made by one CA; then the third comes back with another's.
	first := startAll(t, conf, options)
	for _, cl := range first {
		reach(t, cl)
	}
	for _, cl := range first {
		clustertest.Close(t, cl)
	}
	foreign := other.issue(t, "c", now, time.Hour, hostsOf(t, conf.Members["c"])...)
	foreign.CAFile = own.file
	third := options["c"]
	third.TLS = foreign
	options["c"] = third
	rejected := make(chan struct{}, 1)
	log := zerolog.New(lines(func(line []byte) {
		if bytes.Contains(line, []byte("rejected connection on peer endpoint")) {
			select {
			case rejected <- struct{}{}:
			default:
			}
		}
	}))
	var all []*cluster.Cluster
	for _, name := range []string{"a", "b", "c"} {
		o := options[name]
		o.Log = log
		cl, err := cluster.Start(within(t), conf, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { clustertest.Close(t, cl) })
		all = append(all, cl)
	}
	reach(t, all[0])
	reach(t, all[1])
	select {
	case <-rejected:
	case <-within(t).Done():
		t.Fatal("nobody rejected the member of another CA")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := all[2].Reach(ctx); err == nil {
		t.Error("a member of another CA is in the cluster")
	}
}

// lines is a writer of a log.
type lines func(line []byte)

func (f lines) Write(p []byte) (int, error) { f(p); return len(p), nil }

// TestFilesOfAnotherCA: RSA keys and an intermediate, as other CAs make them.
func TestFilesOfAnotherCA(t *testing.T) {
	t.Parallel()
	conf := secured(t, "a", "b", "c")
	root := chainCA(t)
	options := map[string]cluster.Options{}
	for name, m := range conf.Members {
		files := root.issue(t, name, hostsOf(t, m)...)
		options[name] = cluster.Options{Owner: "test", Name: name, DataDir: clustertest.ShortDir(t), TLS: files}
	}
	for _, m := range startAll(t, conf, options) {
		reach(t, m)
	}
	endpoints := fast()
	endpoints.Endpoints = []string{conf.Members["b"].Client}
	reach(t, start(t, endpoints, cluster.Options{Owner: "test", Name: "witness", TLS: root.issue(t, "witness")}))
}

// intermediate is a CA below a root.
type intermediate struct {
	dir  string
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func chainCA(t *testing.T) intermediate {
	i := intermediate{dir: t.TempDir()}
	root, rootKey := rsaCert(t, x509.Certificate{Subject: pkix.Name{CommonName: "Root"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	i.cert, i.key = rsaCert(t, x509.Certificate{Subject: pkix.Name{CommonName: "Intermediate"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, root, rootKey)
	writePEM(t, filepath.Join(i.dir, "root.pem"), "CERTIFICATE", root.Raw)
	return i
}

func (i intermediate) issue(t *testing.T, name string, hosts ...string) cluster.TLS {
	want := x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		want.IPAddresses = append(want.IPAddresses, net.ParseIP(h))
	}
	leaf, key := rsaCert(t, want, i.cert, i.key)
	files := cluster.TLS{CAFile: filepath.Join(i.dir, "root.pem"), CertFile: filepath.Join(i.dir, name+".pem"), KeyFile: filepath.Join(i.dir, name+".key")}
	writePEM(t, files.CertFile, "CERTIFICATE", leaf.Raw, i.cert.Raw)
	writePEM(t, files.KeyFile, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	return files
}

func rsaCert(t *testing.T, want x509.Certificate, parent *x509.Certificate, by *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	want.SerialNumber, want.BasicConstraintsValid = big.NewInt(time.Now().UnixNano()), true
	want.NotBefore, want.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, by = &want, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &want, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func writePEM(t *testing.T, path, kind string, blocks ...[]byte) {
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMemberWithoutFiles(t *testing.T) {
	now := time.Now()
	own := newCA(t, now)
	conf := secured(t, "a", "b", "c")
	good := own.issue(t, "a", now, time.Hour, hostsOf(t, conf.Members["a"])...)
	another := own.issue(t, "b", now, time.Hour)
	for what, c := range map[string]struct {
		files cluster.TLS
		want  string
	}{
		"nothing":       {cluster.TLS{}, "member a listens with https, and host.tls does not name ca_file, cert_file and key_file"},
		"no CA":         {cluster.TLS{CertFile: good.CertFile, KeyFile: good.KeyFile}, "does not name ca_file"},
		"no such file":  {cluster.TLS{CAFile: good.CAFile, CertFile: good.CertFile + "x", KeyFile: good.KeyFile}, good.CertFile + "x"},
		"another's key": {cluster.TLS{CAFile: good.CAFile, CertFile: good.CertFile, KeyFile: another.KeyFile}, "private key does not match"},
		"no PEM":        {cluster.TLS{CAFile: good.KeyFile, CertFile: good.CertFile, KeyFile: good.KeyFile}, good.KeyFile + " holds no PEM certificate"},
	} {
		_, err := cluster.Start(within(t), conf, cluster.Options{Owner: "test", Name: "a", DataDir: clustertest.ShortDir(t), TLS: c.files, Log: zerolog.Nop()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
	}
}
