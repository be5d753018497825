package cluster

import (
	"errors"
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
	c := startAlone(t, Options{})
	conn, err := grpc.NewClient("unix:"+c.member.sock, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := etcdserverpb.NewMaintenanceClient(conn).Status(t.Context(), &etcdserverpb.StatusRequest{}); err != nil {
		t.Fatalf("before: %v", err)
	}
	c.member.etcd.Server.HardStop()
	get := &etcdserverpb.RangeRequest{Key: []byte("some"), Serializable: true}
	for what, ask := range map[string]func() error{
		"a read": func() error { _, err := c.etcd.Get(t.Context(), "some", clientv3.WithSerializable()); return err },
		"a transaction": func() error {
			_, err := c.etcd.Txn(t.Context()).Then(clientv3.OpGet("some", clientv3.WithSerializable())).Commit()
			return err
		},
		"the state":            func() error { _, err := c.etcd.Status(t.Context(), ""); return err },
		"a read by the socket": func() error { _, err := etcdserverpb.NewKVClient(conn).Range(t.Context(), get); return err },
		"the state by the socket": func() error {
			_, err := etcdserverpb.NewMaintenanceClient(conn).Status(t.Context(), &etcdserverpb.StatusRequest{})
			return err
		},
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "server stopped") {
			t.Errorf("%s: %v", what, err)
		}
	}
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
