package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// TestSuspicionsAge: a suspicion that no vote settles ends by itself, and a
// new list of the keys does not make it young again.
func TestSuspicionsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys("o")
		w := newWorld(k, time.Hour, zerolog.Nop())
		kvs := []*mvccpb.KeyValue{{Key: []byte(k.suspect("eu", "e")), Value: []byte(`{}`), ModRevision: 3}}
		w.proven(time.Now())
		w.reset(kvs)
		time.Sleep(suspectFor - time.Second)
		w.reset(kvs)
		if got := w.view().Suspects; len(got) != 1 {
			t.Errorf("suspects %v a second before the end, want one", got)
		}
		changed := w.wait()
		time.Sleep(w.expire())
		w.expire()
		<-changed
		if got := w.view().Suspects; len(got) != 0 {
			t.Errorf("suspects %v after the end, want none", got)
		}
	})
}

// TestWithoutProofVotesAreUnknown: ballots are reported for one vote lease
// after the last proof and no longer, and Changed tells both ways.
func TestWithoutProofVotesAreUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys("o")
		w := newWorld(k, 5*time.Second, zerolog.Nop())
		if len(w.view().Ballots) != 0 {
			t.Error("ballots before any proof")
		}
		w.proven(time.Now())
		w.reset([]*mvccpb.KeyValue{{Key: []byte(k.head("eu")), Value: []byte(`{}`), ModRevision: 3}})
		time.Sleep(5 * time.Second)
		if len(w.view().Ballots) != 1 {
			t.Error("no ballot within the lease")
		}
		gone := w.wait()
		time.Sleep(w.expire())
		w.expire()
		<-gone
		if len(w.view().Ballots) != 0 {
			t.Error("a ballot although its lease may have ended")
		}
		back := w.wait()
		w.proven(time.Now().Add(-6 * time.Second)) // too old to prove anything
		w.proven(time.Now())
		<-back
		if len(w.view().Ballots) != 1 {
			t.Error("no ballot after a new proof")
		}
	})
}
