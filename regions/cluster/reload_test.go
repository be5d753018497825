package cluster_test

import (
	"crypto/tls"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/certs"
	"github.com/veerdns/veer/regions/cluster/clustertest"
)

// watchdog is a server that sees which certificates clients show, and lets
// nobody stay.
type watchdog struct {
	l    net.Listener
	seen chan *big.Int
}

func newWatchdog(t *testing.T, at string, files func() cluster.TLS) watchdog {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	w := watchdog{l: l, seen: make(chan *big.Int, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			w.look(raw, files())
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return w
}

func (w watchdog) look(raw net.Conn, files cluster.TLS) {
	defer raw.Close()
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		return
	}
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"}})
	if raw.SetDeadline(time.Now().Add(5*time.Second)) == nil && conn.Handshake() == nil {
		w.seen <- conn.ConnectionState().PeerCertificates[0].SerialNumber
	}
}

// sees waits until a certificate was shown.
func (w watchdog) sees(t *testing.T, want *big.Int) {
	t.Helper()
	ctx := within(t)
	for {
		select {
		case got := <-w.seen:
			if got.Cmp(want) == 0 {
				return
			}
		case <-ctx.Done():
			t.Fatal("the certificate was never shown")
		}
	}
}

func serialOf(t *testing.T, file string) *big.Int {
	t.Helper()
	chain, err := certs.ReadChain(file)
	if err != nil {
		t.Fatal(err)
	}
	return chain[0].SerialNumber
}

// TestReload: files that are replaced are used by the next connection, without
// a restart, by members and by clients.
func TestReload(t *testing.T) {
	t.Parallel()
	now := time.Now()
	own := newCA(t, now)
	conf := secured(t, "a", "b", "c")
	options := map[string]cluster.Options{}
	for name, m := range conf.Members {
		options[name] = cluster.Options{Owner: "test", Name: name, DataDir: clustertest.ShortDir(t), TLS: own.issue(t, name, now, time.Hour, hostsOf(t, m)...)}
	}
	all := startAll(t, conf, options)
	for _, m := range all { // each answers at its client port only once it has joined
		reach(t, m)
	}
	b := all[1]
	// A stranger in the third one's place sees what the first shows of itself.
	clustertest.Close(t, all[2])
	dog := newWatchdog(t, strings.TrimPrefix(conf.Members["c"].Peer, "https://"), func() cluster.TLS { return options["c"].TLS })
	self, files := conf.Members["a"], options["a"].TLS
	first := serialOf(t, files.CertFile)
	shows := func(want *big.Int) {
		t.Helper()
		dog.sees(t, want)
		witness := own.issue(t, "witness", now, time.Hour)
		for _, port := range []string{self.Peer, self.Client} {
			if got, err := greet(t, port, own, &witness); err != nil || got.Cmp(want) != 0 {
				t.Errorf("%s showed %v (%v), want %v", port, got, err, want)
			}
		}
	}
	shows(first)
	own.reissue(t, files, "a", now, time.Hour, hostsOf(t, self)...)
	second := serialOf(t, files.CertFile)
	if first.Cmp(second) == 0 {
		t.Fatal("the certificate is the old one")
	}
	shows(second)
	reach(t, b)
}

// TestClientReloads: the client's certificate, and the CA that it trusts.
func TestClientReloads(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old, fresh := newCA(t, now), newCA(t, now)
	server := make(chan cluster.TLS, 1)
	server <- old.issue(t, "server", now, time.Hour, "127.0.0.1")
	dog := newWatchdog(t, "127.0.0.1:0", func() cluster.TLS { s := <-server; server <- s; return s })
	files := old.issue(t, "client", now, time.Hour)
	files.CAFile = filepath.Join(t.TempDir(), "trusted.pem")
	trust := func(c ca) {
		text, err := os.ReadFile(c.file)
		if err == nil {
			err = os.WriteFile(files.CAFile, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	trust(old)
	conf := fast()
	conf.Endpoints = []string{"https://" + dog.l.Addr().String()}
	start(t, conf, cluster.Options{Owner: "test", Name: "x", TLS: files})
	dog.sees(t, serialOf(t, files.CertFile))
	old.reissue(t, files, "client", now, time.Hour)
	dog.sees(t, serialOf(t, files.CertFile))
	// A server of the new CA, and a client that has got both.
	<-server
	server <- fresh.issue(t, "server", now, time.Hour, "127.0.0.1")
	trust(fresh)
	fresh.reissue(t, files, "client", now, time.Hour)
	dog.sees(t, serialOf(t, files.CertFile))
}

// TestCARotation: members that were started with a bundle of the old and the
// new CA take certificates of both, and change to the new one while they run.
func TestCARotation(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old, fresh := newCA(t, now), newCA(t, now)
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	var text []byte
	for _, c := range []ca{old, fresh} {
		one, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, one...)
	}
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	conf := secured(t, "a", "b", "c")
	files := map[string]cluster.TLS{}
	options := map[string]cluster.Options{}
	for name, m := range conf.Members {
		f := old.issue(t, name, now, time.Hour, hostsOf(t, m)...)
		f.CAFile = bundle
		files[name] = f
		options[name] = cluster.Options{Owner: "test", Name: name, DataDir: clustertest.ShortDir(t), TLS: f}
	}
	members := startAll(t, conf, options)
	for _, m := range members { // each answers at its client port only once it has joined
		reach(t, m)
	}
	both := []cluster.TLS{old.issue(t, "witness", now, time.Hour), fresh.issue(t, "witness", now, time.Hour)}
	for name, f := range files {
		fresh.reissue(t, f, name, now, time.Hour, hostsOf(t, conf.Members[name])...)
		for i, client := range both {
			for _, port := range []string{conf.Members[name].Peer, conf.Members[name].Client} {
				if got, err := greet(t, port, fresh, &client); err != nil || got.Cmp(serialOf(t, f.CertFile)) != 0 {
					t.Errorf("%s with the certificate of CA %d: %v", port, i, err)
				}
			}
		}
	}
	endpoints := fast()
	endpoints.Endpoints = []string{conf.Members["c"].Client}
	reach(t, start(t, endpoints, cluster.Options{Owner: "test", Name: "witness", TLS: both[1]}))
	for i, m := range members {
		if err := m.Reach(within(t)); err != nil {
			t.Error(fmt.Errorf("member %d: %w", i, err))
		}
	}
}
