package authority

import (
	"slices"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// typeNames are the types of one name's answers, each once.
func typeNames(answers []steering.Answer) []string {
	var types []string
	for _, a := range answers {
		types = append(types, a.Type)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// retry compiles the answers that the zones as they were had no place for: those
// of names without any, and those whose names kept what they had before. All are
// of the newest version of their shard, so that nothing goes back to an older one.
func (st *state) retry(now time.Time) {
	for id, shard := range st.shards {
		newer := st.fill(id, shard.Refused, now)
		if len(newer) > 0 {
			filled := func(a steering.Answer) bool { return newer[providers.CanonicalName(a.Name)] }
			shard.Answers = slices.DeleteFunc(slices.Clone(shard.Answers), filled)
			for _, a := range shard.Refused {
				if filled(a) {
					shard.Answers = append(shard.Answers, a)
				}
			}
			shard.Refused = slices.DeleteFunc(slices.Clone(shard.Refused), filled)
			st.shards[id] = shard
		}
		st.fill(id, slices.DeleteFunc(slices.Clone(shard.Answers), func(a steering.Answer) bool {
			_, ok := st.compiled[id][providers.CanonicalName(a.Name)]
			return ok
		}), now)
	}
}

// fill compiles some answers of a shard's newest version, and returns the names
// that are served by them now. How long ago the ledger gave them is not known:
// see restore.
func (st *state) fill(id int, answers []steering.Answer, now time.Time) map[string]bool {
	found := compileShard(st.files, st.flats, nil, answers, now, func(string, error) {}) // it was said when the shard came
	st.finish(found)
	names := make(map[string]bool, len(found))
	for name, svc := range found {
		st.compiled[id][name] = svc.expire(now)
		names[name] = true
	}
	st.effective.touch(found)
	return names
}

// expire returns the service with the time left of its answers at an end. The
// sets are the same.
func (s service) expire(now time.Time) service {
	s.spent = true
	for _, set := range s.sets {
		set.each(func(p *pick) {
			if !p.until.IsZero() {
				p.until = now
			}
		})
	}
	return s
}
