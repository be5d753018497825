package cluster

import (
	"context"
	"testing"
	"time"
)

// TestAnAttemptEndsWithTheLeaderOfEtcd: what was handed to one leader of etcd is
// asked of the next at once, not when its time is over, on every member.
func TestAnAttemptEndsWithTheLeaderOfEtcd(t *testing.T) {
	t.Parallel()
	members := threeOf(t, func(*Cluster) {})
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leader, next := etcdLeader(t, within, members)
	lead := leader.member.etcd.Server.MemberID()
	var tries []context.Context
	for _, c := range members {
		try, cancel := c.attempt(within, time.Hour)
		defer cancel()
		tries = append(tries, try)
	}
	if err := leader.member.etcd.Server.MoveLeader(within, uint64(lead), uint64(next.member.etcd.Server.MemberID())); err != nil {
		t.Fatalf("move etcd's leader from %s: %v", lead, err)
	}
	for i, try := range tries {
		<-try.Done()
		if within.Err() != nil {
			t.Fatalf("member %d goes on with its try", i)
		}
	}
}

// etcdLeader returns the member that leads etcd, and another one, when all have
// joined.
func etcdLeader(t *testing.T, within context.Context, members []*Cluster) (leader, other *Cluster) {
	t.Helper()
	for _, c := range members {
		for err := c.Reach(within); err != nil; err = c.Reach(within) { // etcd elects yet
			if within.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	lead := members[0].member.etcd.Server.Leader()
	for _, c := range members {
		if c.member.etcd.Server.MemberID() == lead {
			leader = c
		} else {
			other = c
		}
	}
	if leader == nil || other == nil {
		t.Fatalf("%s leads etcd, which is no member", lead)
	}
	return leader, other
}
