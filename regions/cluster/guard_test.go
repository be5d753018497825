package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestAClosedDatabaseIsNotRead, whoever asks, after etcd has stopped by itself,
// as it does when its member is removed: such a read ends the process.
func TestAClosedDatabaseIsNotRead(t *testing.T) {
	client := freePort(t)
	conf := Config{Members: map[string]Member{"a": {Peer: "http://" + freePort(t), Client: "http://" + client}}}
	a := startWith(t, shortDir(t), conf, Options{})
	get := &etcdserverpb.RangeRequest{Key: []byte("some"), Serializable: true}
	asks := map[string]func() error{
		"a read": func() error { _, err := a.etcd.Get(a.ctx, "some", clientv3.WithSerializable()); return err },
		"a transaction": func() error {
			_, err := a.etcd.Txn(a.ctx).Then(clientv3.OpGet("some", clientv3.WithSerializable())).Commit()
			return err
		},
		"the state": func() error { _, err := a.etcd.Status(a.ctx, ""); return err },
	}
	for by, at := range map[string]string{"the socket": "unix:" + a.member.sock, "the client port": client} {
		conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		asks["a read by "+by] = func() error { _, err := etcdserverpb.NewKVClient(conn).Range(a.ctx, get); return err }
		asks["the state by "+by] = func() error {
			_, err := etcdserverpb.NewMaintenanceClient(conn).Status(a.ctx, &etcdserverpb.StatusRequest{}, grpc.WaitForReady(true))
			return err
		}
		if err := asks["the state by "+by](); err != nil {
			t.Fatalf("before, by %s: %v", by, err)
		}
	}
	a.member.etcd.Server.HardStop()
	for what, ask := range asks {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "server stopped") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// freePort is a port of an address of its own, where nobody else listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestCloseMeetsRequests that are under way, and those that wait for a quorum.
func TestCloseMeetsRequests(t *testing.T) {
	c := startAlone(t, Options{})
	var asking, begun sync.WaitGroup
	for range 8 {
		begun.Add(1)
		asking.Go(func() {
			for first := true; ; first = false {
				_, got := c.etcd.Get(t.Context(), "some")
				_, state := c.etcd.Status(t.Context(), "")
				if first {
					begun.Done()
				}
				if err := errors.Join(got, state); err != nil {
					if !errors.Is(err, rpctypes.ErrStopped) {
						t.Errorf("a request met the end with %v", err)
					}
					return
				}
			}
		})
	}
	begun.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	asking.Wait()
}
