package authority

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// Reload reads the zone files anew and swaps the table once, so that each
// query is answered from before or from after. It returns the zones whose data
// changed. A zone that can't be served, because of its file or because a
// service could no longer be laid over it, keeps what it had, and the error
// tells where: the other zones are taken all the same.
//
// The secrets of cookies are read again as well. The zones themselves are those
// of the Config: none comes or goes. This is for who serves zones alone: a daemon
// reloads by Prepare and Take, whole or not at all.
func (s *Server) Reload() (changed []string, err error) {
	s.reloading.Lock() // a later call has read later
	defer s.reloading.Unlock()
	problems := []error{s.cookies.reload()}
	var fresh []*zone
	for _, z := range s.config.Zones {
		file, err := ReadZone(z)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		base, err := compileZone(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("zone %s: %w", file.Name, err))
			continue
		}
		fresh = append(fresh, base)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := maps.Clone(s.state.serials)
	s.state.hold = false // this time it may be possible
	for _, base := range fresh {
		if s.state.files[base.apex].Hash == base.file.Hash {
			continue
		}
		if err := s.state.replace(base); err != nil {
			problems = append(problems, err)
			continue
		}
		changed = append(changed, base.file.Name)
	}
	if len(changed) > 0 {
		s.state.afresh()
	}
	s.state.retry(time.Now())
	s.publish(kept)
	if err := errors.Join(problems...); err != nil {
		return changed, fmt.Errorf("authority: reload: %w", err)
	}
	return changed, nil
}

// unraised is the table with the serials of before, that of a server that can't
// keep those that it raised by itself. The caller holds mu.
func (s *Server) unraised(kept map[key]serial) *Table {
	s.state.serials, s.state.hold = maps.Clone(kept), true
	table := s.state.build(false)
	s.saver.offer(s.state.snapshot())
	return table
}

// replace takes over another version of a zone, if every service in it can be
// laid over that too.
func (st *state) replace(base *zone) error {
	var problems []error
	check := func(services map[string]service) {
		for _, name := range slices.Sorted(maps.Keys(services)) {
			if services[name].apex != base.apex {
				continue
			}
			if err := base.file.CheckService(name, typeNames(services[name].answers)...); err != nil {
				problems = append(problems, fmt.Errorf("zone %s: %w", base.file.Name, err))
			}
		}
	}
	check(st.start)
	for _, id := range slices.Sorted(maps.Keys(st.compiled)) {
		check(st.compiled[id])
	}
	files := maps.Clone(st.files)
	files[base.apex] = base.file
	problems = append(problems, checkRedirected(files)...)
	if err := errors.Join(problems...); err != nil {
		return err
	}
	hash, err := st.hash(base.file)
	if err != nil {
		return fmt.Errorf("zone %s: %w", base.file.Name, err)
	}
	st.files, st.bases[base.apex], st.hashes[base.apex] = files, base, hash
	return nil
}

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
