//go:build netns

package clusterlab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// jitter waits up to an interval, so that failures fall anywhere in the
// probes' schedule.
func (w *world) jitter() { w.pass(rand.N(time.Second)) }

// etcd is a client of the region's member, by its unix socket.
func (r *region) etcd() *clientv3.Client {
	r.w.t.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"unix:///member"}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(r.dir, "d", "etcd.sock"))
		})},
	})
	if err != nil {
		r.w.t.Fatal(err)
	}
	return c
}

// nextEtcd tells how long after began the region's member knows of another leader
// of etcd than the one that it knows now; 0: it knew of none until ctx ended.
func (r *region) nextEtcd(ctx context.Context) func(began time.Time) time.Duration {
	r.w.t.Helper()
	c := r.etcd()
	was, err := c.Status(ctx, "unix:///member")
	if err != nil {
		r.w.t.Fatal(err)
	}
	var then time.Time
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _ = c.Close() }() // it only asked
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if now, err := c.Status(ctx, "unix:///member"); err == nil && now.Leader != 0 && now.Leader != was.Leader {
				then = time.Now()
				return
			}
		}
	}()
	return func(began time.Time) time.Duration {
		<-ended
		if then.IsZero() {
			return 0
		}
		return then.Sub(began)
	}
}

// lead makes one region's process the leader, and another's, or the same
// one's, member the leader of etcd.
func (w *world) lead(controller, etcd *region) {
	w.t.Helper()
	for range 30 {
		var who *region
		w.await("a leader, and "+etcd.name+" as etcd's", func() (bool, string) {
			if w.moveEtcd(etcd) {
				return false, "etcd's leader was moved"
			}
			who, _ = w.leader()
			return who != nil, "nobody leads"
		})
		if who == controller {
			return
		}
		who.end() // so that it stands behind the others
		w.await("another leads", func() (bool, string) {
			l, term := w.leader(who)
			return l != nil && l != who, fmt.Sprintf("%v %d", l, term)
		})
		w.settle()
	}
	w.t.Fatalf("%s does not come to lead", controller.name)
}

// moveEtcd makes the region's member the leader of etcd, and reports whether it
// was not.
func (w *world) moveEtcd(to *region) bool {
	w.t.Helper()
	ids := map[uint64]*region{}
	var want, lead uint64
	for _, r := range w.regions {
		c := r.etcd()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		st, err := c.Status(ctx, "unix:///member")
		cancel()
		_ = c.Close() // it only asked
		if err != nil {
			return true // it comes up still
		}
		ids[st.Header.MemberId] = r
		lead = st.Leader
		if r == to {
			want = st.Header.MemberId
		}
	}
	if lead == want {
		return false
	}
	if from := ids[lead]; from != nil {
		c := from.etcd()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := c.MoveLeader(ctx, want)
		cancel()
		_ = c.Close()
		if err != nil {
			w.t.Logf("moving etcd's leader to %s, again: %v", to.name, err)
		}
	}
	return true
}
