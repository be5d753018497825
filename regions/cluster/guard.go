package cluster

import (
	"context"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"google.golang.org/grpc"
)

// guard runs requests to a member so that its database is there until they are
// done. etcd, when it stops, also by itself, closes the database without waiting
// for who reads it: a read that comes too late would end the process.
type guard struct {
	server atomic.Pointer[etcdserver.EtcdServer] // nil: not started yet
}

// guarded does what it is given, or nothing once etcd stops; then it ends what
// waits for other members.
func guarded[T any](ctx context.Context, g *guard, do func(context.Context) (T, error)) (none T, _ error) {
	s := g.server.Load()
	if s == nil {
		return none, rpctypes.ErrGRPCStopped
	}
	select {
	case <-s.StoppingNotify():
		return none, rpctypes.ErrGRPCStopped
	default:
	}
	type result struct {
		out T
		err error
	}
	doing, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan result, 1)
	s.GoAttach(func() {
		out, err := do(doing)
		done <- result{out, err}
	})
	select {
	case r := <-done:
		return r.out, r.err
	case <-s.StoppingNotify():
		cancel()
	}
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done(): // an etcd that gave up may never have stopped
	case <-s.StopNotify(): // which waits for what has begun
	}
	select {
	case r := <-done:
		return r.out, r.err
	default:
		return none, rpctypes.ErrGRPCStopped
	}
}

// unary guards what comes over the network.
func (g *guard) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return guarded(ctx, g, func(ctx context.Context) (any, error) { return handle(ctx, req) })
}

// client returns a client that calls the member without any socket.
func (m *member) client() *clientv3.Client {
	c := v3client.New(m.etcd.Server)
	kv := adapter.KvServerToKvClient(v3rpc.NewQuotaKVServer(m.etcd.Server))
	c.KV = clientv3.NewKVFromKVClient(guardedKV{kv, &m.guard}, c)
	rest := adapter.MaintenanceServerToMaintenanceClient(v3rpc.NewMaintenanceServer(m.etcd.Server, nil))
	c.Maintenance = clientv3.NewMaintenanceFromMaintenanceClient(guardedMaintenance{rest, &m.guard}, c)
	return c
}

// guardedKV guards what reads in its caller's goroutine; writes are etcd's own.
type guardedKV struct {
	etcdserverpb.KVClient
	guard *guard
}

func (k guardedKV) Range(ctx context.Context, in *etcdserverpb.RangeRequest, opts ...grpc.CallOption) (*etcdserverpb.RangeResponse, error) {
	return guarded(ctx, k.guard, func(ctx context.Context) (*etcdserverpb.RangeResponse, error) {
		return k.KVClient.Range(ctx, in, opts...)
	})
}

func (k guardedKV) Txn(ctx context.Context, in *etcdserverpb.TxnRequest, opts ...grpc.CallOption) (*etcdserverpb.TxnResponse, error) {
	return guarded(ctx, k.guard, func(ctx context.Context) (*etcdserverpb.TxnResponse, error) { return k.KVClient.Txn(ctx, in, opts...) })
}

// guardedMaintenance is as guardedKV.
type guardedMaintenance struct {
	etcdserverpb.MaintenanceClient
	guard *guard
}

func (k guardedMaintenance) Status(ctx context.Context, in *etcdserverpb.StatusRequest, opts ...grpc.CallOption) (*etcdserverpb.StatusResponse, error) {
	return guarded(ctx, k.guard, func(ctx context.Context) (*etcdserverpb.StatusResponse, error) {
		return k.MaintenanceClient.Status(ctx, in, opts...)
	})
}
