package cluster

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// alone is a cluster of one embedded member in a folder of its own, for tests
// that look into etcd.
type alone struct {
	*Cluster
	t   *testing.T
	ctx context.Context
	dir string
}

func startAlone(t *testing.T, o Options) *alone {
	t.Helper()
	return startIn(t, shortDir(t), o)
}

// shortDir is a folder whose path is short enough for a socket in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startIn(t *testing.T, dir string, o Options) *alone {
	t.Helper()
	return startWith(t, dir, Config{}, o)
}

func startWith(t *testing.T, dir string, conf Config, o Options) *alone {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	if o.Owner == "" {
		o.Owner = "o"
	}
	o.Name, o.DataDir, o.Log = "a", dir, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
	c, err := Start(ctx, conf, o)
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{c, t, ctx, dir}
	t.Cleanup(a.stop)
	return a
}

func (a *alone) stop() {
	if err := a.Close(); err != nil {
		a.t.Error(err)
	}
}

func (a *alone) put(key, text string) {
	a.t.Helper()
	if _, err := a.etcd.Put(a.ctx, key, text); err != nil {
		a.t.Fatal(err)
	}
}

// get returns the value of a key, "" if it is not there.
func (a *alone) get(key string) string {
	a.t.Helper()
	resp, err := a.etcd.Get(a.ctx, key)
	if err != nil {
		a.t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return ""
	}
	return string(resp.Kvs[0].Value)
}
