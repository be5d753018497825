package controller

import "github.com/veerdns/veer/regions/steering"

// recall makes shards that the ledger lost again from what is served.
func (r *reign) recall() {
	if r.o.Served == nil {
		return
	}
	for _, served := range r.o.Served() {
		if served.ID < 0 || served.ID >= steering.Shards {
			continue
		}
		sh := r.shards[served.ID]
		if !served.Newer(sh.kept) {
			continue
		}
		state := steering.Rebuild(steering.Policy{Services: sh.services}, served.Answers)
		state.Clock = r.now()
		sh.kept = steering.Shard{ID: sh.id, Term: served.Term, Seq: max(served.Seq, sh.kept.Seq), State: state, Answers: served.Answers}
		sh.committed, sh.news, sh.lost = r.now(), true, true
		sh.causes.add("the ledger was lost: going on from what is served")
		r.o.Log.Warn().Int("shard", sh.id).Uint64("term", uint64(served.Term)).Uint64("seq", served.Seq).
			Msg("the ledger has lost a decision that is served: going on from its answers, with holds started again")
	}
}
