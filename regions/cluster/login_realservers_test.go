//go:build realservers

package cluster_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
	"github.com/veerdns/veer/regions/steering"
)

// TestWrongPassword: who is refused is told why, and gets in once the password
// is right, without a restart.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := startShared(t)
	s.setPassword(t, "hunter2")
	cl := start(t, s.config(), cluster.Options{Owner: "test", Name: "a"})
	err := cl.Reach(within(t))
	if err == nil || !strings.Contains(err.Error(), `etcd refuses user "veer": the name or the password in cluster.password_file `+s.password+" is wrong") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if _, _, err := cl.Leader(within(t)); err == nil || !strings.Contains(err.Error(), "the name or the password") {
		t.Errorf("got %v", err)
	}
	s.setPassword(t, "")
	ctx := within(t)
	for err = cl.Reach(ctx); !strings.Contains(fmt.Sprint(err), "is empty: expected the password"); err = cl.Reach(ctx) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	s.setPassword(t, "veer-secret")
	reach(t, cl)
}

// TestMissingRights: the role is named that is missing.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	s := startShared(t)
	c := s.config()
	c.Prefix = "/veer"
	cl := start(t, c, cluster.Options{Owner: "test", Name: "a"})
	if err := cl.Reach(within(t)); err == nil || !strings.Contains(err.Error(), `etcd user "veer" may not do what Veer asks for: expected a role with readwrite on the prefix /veer/test/`) {
		t.Errorf("got %v", err)
	}
}

// TestTokensThatExpire: with tokens of two seconds, votes and leads last, and
// new watches are let in.
func TestTokensThatExpire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "jwt.key"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	writePEM(t, filepath.Join(dir, "jwt.pub"), "PUBLIC KEY", public)
	s := startShared(t, "--auth-token", fmt.Sprintf("jwt,pub-key=%s/jwt.pub,priv-key=%s/jwt.key,sign-method=RS256,ttl=2s", dir, dir))
	var denied atomic.Int64
	log := zerolog.New(lines(func(line []byte) {
		if bytes.Contains(line, []byte("permission denied")) || bytes.Contains(line, []byte("invalid auth token")) {
			denied.Add(1)
		}
	}))
	open := func(name string) *cluster.Cluster {
		cl, err := cluster.Start(within(t), s.config(), cluster.Options{Owner: "test", Name: name, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { clustertest.Close(t, cl) })
		return cl
	}
	a, b := open("a"), open("b")
	l, err := a.Campaign(within(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	seat, err := a.Join(within(t), "eu")
	if err != nil {
		t.Fatal(err)
	}
	ballot := regions.Ballot{Vantage: "eu", Suspect: true, Why: "0"}
	for round := range 14 { // half a second each, by the lease
		ballot.Why = fmt.Sprint(round)
		if err := seat.Cast(within(t), ballot); err != nil {
			t.Fatal(err)
		}
		sees(t, b, ballot.Why)
		renewFor(t, seat, 500*time.Millisecond)
	}
	select {
	case <-l.Done():
		t.Error("the lead ended with the token")
	default:
	}
	// Watches that begin now, beside the one that began with an older token.
	heard, stop := context.WithCancel(within(t))
	defer stop()
	ended := make(chan struct{})
	told := b.Suspicions(heard, "us")
	go func() {
		defer close(ended)
		_ = b.WatchShards(heard, func([]steering.Shard) {}) // it ends with the context
	}()
	if err := seat.Suspect(within(t), []regions.EndpointID{"e"}); err != nil {
		t.Fatal(err)
	}
	<-told
	won := make(chan error, 1)
	go func() { _, err := b.Campaign(within(t), "b"); won <- err }()
	renewFor(t, seat, time.Second)
	if err := l.Resign(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-won; err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	// A token may end between the list and the watch; then there is another.
	if n := denied.Load(); n > 1 {
		t.Errorf("%d watches were denied", n)
	}
}

// TestUserByCertificate: an etcd that takes the name in the certificate for
// the user.
func TestUserByCertificate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	own := newCA(t, now)
	addr := freeAddress(t)
	host, _, _ := strings.Cut(addr, ":")
	server := own.issue(t, "etcd", now, time.Hour, host)
	files, root := own.issue(t, "eu-west", now, time.Hour), own.issue(t, "root", now, time.Hour)
	at := startEtcdAt(t, "https://"+addr, root, "--cert-file", server.CertFile, "--key-file", server.KeyFile,
		"--trusted-ca-file", own.file, "--client-cert-auth", "--bcrypt-cost", "4")
	info := transport.TLSInfo{CertFile: root.CertFile, KeyFile: root.KeyFile, TrustedCAFile: own.file}
	secure, err := info.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	op, err := clientv3.New(clientv3.Config{Endpoints: []string{at}, TLS: secure, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := op.Close(); err != nil {
			t.Error(err)
		}
	})
	allow(t, op, "eu-west")
	c := fast()
	c.Endpoints, c.Prefix = []string{at}, sharedPrefix
	cl := start(t, c, cluster.Options{Owner: "test", Name: "eu-west", TLS: files})
	reach(t, cl)
	if _, err := cl.Campaign(within(t), "eu-west"); err != nil {
		t.Error(err)
	}
	c.Prefix = ""
	cl = start(t, c, cluster.Options{Owner: "test", Name: "eu-west", TLS: files})
	if err := cl.Reach(within(t)); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("outside of its prefix: %v", err)
	}
}

func renewFor(t *testing.T, seat interface{ Renew(context.Context) error }, d time.Duration) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(d); ; {
		select {
		case <-end:
			return
		case <-tick.C:
			if err := seat.Renew(within(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func sees(t *testing.T, c *cluster.Cluster, why string) {
	t.Helper()
	ctx := within(t)
	for {
		changed := c.Changed()
		if v := c.View(); len(v.Ballots) == 1 && v.Ballots[0].Why == why {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal(errors.New("the ballot never came"))
		}
	}
}
