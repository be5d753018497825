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
	for _, c := range members {
		for err := c.Reach(within); err != nil; err = c.Reach(within) { // etcd elects yet
			if within.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	lead := members[0].member.etcd.Server.Leader()
	var leader, next *Cluster
	for _, c := range members {
		if c.member.etcd.Server.MemberID() == lead {
			leader = c
		} else {
			next = c
		}
	}
	if leader == nil || next == nil {
		t.Fatalf("%s leads etcd, which is no member", lead)
	}
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
