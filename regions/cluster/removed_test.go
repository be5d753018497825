package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestRemovedWhileAsked: a member that is removed while requests come says that
// it was removed. Asked how it is, etcd panics after the removal, which the member
// that leads etcd learns of at once, and before its own end, a second later.
func TestRemovedWhileAsked(t *testing.T) {
	t.Parallel()
	members := threeOf(t, func(*Cluster) {})
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	gone, other := etcdLeader(t, within, members)
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, stop := context.WithCancel(within)
	defer stop()
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				once, done := context.WithTimeout(ctx, 200*time.Millisecond)
				_, _ = gone.etcd.Status(once, "") // as others do all the time
				done()
			}
		})
	}
	if _, err := other.RemoveMember(within, gone.opts.Name, false, Note{Time: time.Now(), By: "lea"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone.Ended():
	case <-within.Done():
		t.Fatal("the member was removed and goes on")
	}
	if err := gone.Err(); !errors.Is(err, ErrRemoved) {
		t.Errorf("the member says of its removal: %v", err)
	}
}
