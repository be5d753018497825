package controller_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// servedBefore is a shard in which app is served from its second pool.
func servedBefore() []steering.Shard {
	return []steering.Shard{{ID: steering.ShardOf(app), Term: 7, Seq: 40, Answers: []steering.Answer{
		{RRSet: providers.RRSet{Name: app, Type: "A", TTL: 30, Data: []string{"192.0.2.2"}}, MinTTL: 5},
	}}}
}

// TestALostLedgerGoesOnFromWhatIsServed: the first decision on an empty ledger
// is not the very first start's, its numbers go on, and its holds start again.
func TestALostLedgerGoesOnFromWhatIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, service(app, time.Minute, one, two))
		r.o.Served, r.term = servedBefore, 7
		r.start()
		defer r.stop()
		r.wantServed(app, "192.0.2.2")
		if seq := r.shards[steering.ShardOf(app)].Seq; seq != 41 {
			t.Errorf("the ledger goes on with seq %d, want 41", seq)
		}
		r.voteAll(checks.Up, one, two)
		pass(59 * time.Second)
		r.wantServed(app, "192.0.2.2")
		pass(2 * time.Second)
		r.wantServed(app, "192.0.2.1")
	})
}

// TestARestoredLedgerGoesOnFromWhatIsServed: an older version of the shard is
// in the ledger, as after a restored backup.
func TestARestoredLedgerGoesOnFromWhatIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, service(app, 0, one, two))
		r.start()
		r.wantServed(app, "192.0.2.1")
		r.stop()
		r.o.Served, r.term = servedBefore, 7
		r.start()
		defer r.stop()
		r.wantServed(app, "192.0.2.2")
		if sh := r.shards[steering.ShardOf(app)]; sh.Seq != 41 || sh.Term != 8 {
			t.Errorf("the ledger goes on with term %d, seq %d, want 8, 41", sh.Term, sh.Seq)
		}
	})
}

// TestAnotherConfigIsCommitted: the ledger names the config of its decisions,
// also where the new one moves nothing.
func TestAnotherConfigIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, service(app, 0, one, two))
		r.start()
		r.voteAll(checks.Up, one, two)
		r.wantServed(app, "192.0.2.1")
		r.stop()
		r.o.ConfigHash = "another"
		r.start()
		defer func() { r.stop() }()
		if cause := r.lastCause(); !strings.HasPrefix(cause, "eu leads, term 2; the config changed") {
			t.Errorf("cause %q", cause)
		}
		if got := r.shards[steering.ShardOf(app)].Config; got != "another" {
			t.Errorf("the ledger names config %q", got)
		}
		commits, _ := r.counts()
		r.stop()
		r.start()
		if again, _ := r.counts(); again != commits {
			t.Errorf("the same config is committed again")
		}
	})
}

// TestADeletedShardIsWrittenAgain: somebody deletes a shard under the leader;
// its number goes on, or no authority would take it.
func TestADeletedShardIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, service(app, 0, one, two))
		r.start()
		defer r.stop()
		r.voteAll(checks.Up, one, two)
		r.wantServed(app, "192.0.2.1")
		id := steering.ShardOf(app)
		before := r.shards[id].Seq
		r.change(func() { delete(r.shards, id) })
		r.voteAll(checks.Down, one)
		r.wantServed(app, "192.0.2.2")
		if seq := r.shards[id].Seq; seq <= before {
			t.Errorf("seq %d follows %d", seq, before)
		}
	})
}
