package daemon

import (
	"context"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// served returns the newest shards that the authorities of this process have,
// each with the answers of all of them, and of names that none of them serves
// those of the zones at providers: what a ledger that was lost is made again
// from.
func (d *daemon) served() []steering.Shard {
	var newest [steering.Shards]steering.Shard
	for _, s := range d.servers {
		for _, sh := range s.Shards() {
			switch was := newest[sh.ID]; {
			case sh.Newer(was):
				newest[sh.ID] = sh
			case !was.Newer(sh): // the same version, in another provider's zones
				newest[sh.ID].Answers = merge(was.Answers, sh.Answers)
			}
		}
	}
	for _, sh := range d.fences.shards() {
		was := &newest[sh.ID]
		if was.Term == 0 { // what is served was never decided
			*was = steering.Shard{}
		}
		was.ID, was.Term = sh.ID, max(was.Term, sh.Term)
		was.Answers = merge(was.Answers, sh.Answers)
	}
	out := make([]steering.Shard, 0, len(newest))
	for _, sh := range newest {
		if sh.Term > 0 {
			out = append(out, sh)
		}
	}
	return out
}

// merge adds the answers of names that are not there yet.
func merge(answers, more []steering.Answer) []steering.Answer {
	known := make(map[string]bool, len(answers))
	for _, a := range answers {
		known[a.Name] = true
	}
	for _, a := range more {
		if !known[a.Name] {
			answers = append(answers, a)
		}
	}
	return answers
}

// servedTerm is the highest term of what is served; 0 is none.
func (d *daemon) servedTerm() regions.Term {
	var term regions.Term
	for _, sh := range d.served() {
		term = max(term, sh.Term)
	}
	return term
}

// outrank makes sure, once a ledger is joined, that its terms are above what this
// process serves: the leader may be in a region that served less when the ledger
// was lost.
func (d *daemon) outrank(ctx context.Context, cl *cluster.Cluster) {
	for pause := rejoinFirst; ; pause = min(2*pause, rejoinMost) {
		err := cl.Outrank(ctx, d.servedTerm())
		if err == nil {
			break
		}
		d.o.Log.Debug().Err(err).Msg("cannot compare the term with what is served, trying again")
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	<-ctx.Done()
}
