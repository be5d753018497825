package controller

import (
	"slices"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// blind are the services of the shard that were decided on nothing: no verdict,
// no memory of one, and no override. The answer is then the first pool's, which
// is as good as any for a new name. Of one that a zone answers already, as after
// the loss of a ledger while the zone could not be read, it would be a move on
// unknown (DESIGN, property 2).
func (r *reign) blind(sh *shard) map[string]bool {
	out := map[string]bool{}
	overrides := r.overrides(sh)
	for _, s := range sh.kept.State.Services {
		overridden := func(o steering.Override) bool { return o.Target.Service == "" || o.Target.Service == s.Name }
		sees := func(p steering.PoolState) bool {
			return slices.ContainsFunc(p.Endpoints, func(e steering.EndpointState) bool { return e.Known != checks.Unknown })
		}
		if len(s.LastGood) == 0 && !slices.ContainsFunc(s.Pools, sees) && !slices.ContainsFunc(overrides, overridden) {
			out[providers.CanonicalName(s.Name)] = true
		}
	}
	return out
}

// sighted leaves out the answers that were decided blindly of names that have
// records in the zone, and refuses those names until something is known.
func (w *writer) sighted(answers []steering.Answer, have providers.Snapshot, out []Refusal) ([]steering.Answer, []Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := byName(have.Records)
	refused := map[string]bool{}
	answers = slices.DeleteFunc(answers, func(a steering.Answer) bool {
		name := providers.CanonicalName(a.Name)
		if !w.blind[steering.ShardOf(a.Name)][name] || len(held[name]) == 0 {
			return false
		}
		if !refused[name] {
			refused[name] = true
			out = append(out, Refusal{name, "nothing is known of its endpoints yet: what stands there stays until a verdict or an override tells better"})
		}
		return true
	})
	return answers, out
}
