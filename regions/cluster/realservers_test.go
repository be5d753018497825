//go:build realservers

package cluster_test

import (
	"fmt"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
)

// TestDebianEtcd runs the suite on the distribution's etcd (Debian 12: 3.4).
func TestDebianEtcd(t *testing.T) {
	t.Parallel()
	endpoint := startEtcd(t)
	var n atomic.Int64
	t.Run("suite", func(t *testing.T) {
		clustertest.Run(t, func(t *testing.T) clustertest.Rig {
			owner := fmt.Sprintf("test%d", n.Add(1))
			return clustertest.Rig{Owner: owner, Endpoint: endpoint, Open: func(name string) *cluster.Cluster {
				c := fast()
				c.Endpoints = []string{endpoint}
				return start(t, c, cluster.Options{Owner: owner, Name: name})
			}}
		})
	})
}

// startEtcd starts etcd on loopback and waits until it answers.
func startEtcd(t *testing.T, flags ...string) string {
	t.Helper()
	return startEtcdAt(t, "http://"+freeAddress(t), cluster.TLS{}, flags...)
}

// startEtcdAt starts etcd at a URL, where a client gets in with the files.
func startEtcdAt(t *testing.T, client string, files cluster.TLS, flags ...string) string {
	t.Helper()
	peer := "http://" + freeAddress(t)
	var out testWriter
	cmd := exec.Command("/usr/bin/etcd", append(flags, "--data-dir", clustertest.ShortDir(t),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default="+peer, "--heartbeat-interval", "50", "--election-timeout", "500")...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start /usr/bin/etcd (Debian package etcd-server): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already; Wait tells
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("etcd said:\n%s", out.String())
		}
	})
	c, err := cluster.Start(within(t), cluster.Config{Endpoints: []string{client}}, cluster.Options{Owner: "probe", Name: "probe", TLS: files, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer clustertest.Close(t, c)
	ctx := within(t)
	for {
		if _, _, err := c.Leader(ctx); err == nil {
			return client
		} else if ctx.Err() != nil {
			t.Fatalf("etcd does not answer: %v", err)
		}
	}
}
