package authority

import (
	"maps"
	"slices"
	"time"
)

// renew makes answers of what hosts lead to now. Only the services that lead to
// one of them are compiled again; the time left of their answers runs on.
func (st *state) renew(fresh map[string]*flat) {
	maps.Copy(st.flats.hosts, fresh)
	uses := func(s service) bool {
		return slices.ContainsFunc(s.hosts, func(host string) bool { return fresh[host] != nil })
	}
	again := func(services map[string]service) {
		made := make(map[string]service)
		for name, s := range services {
			if !uses(s) {
				continue
			}
			is, err := s.again(st.files, st.flats)
			if err != nil {
				st.log.Error().Err(err).Str("service", name).Msg("an answer can't be made of what its hosts lead to now; the name keeps what it had")
				continue
			}
			made[name] = is
		}
		st.finish(made)
		maps.Copy(services, made)
		st.effective.touch(made)
	}
	again(st.start)
	for _, services := range st.compiled {
		again(services)
	}
}

// again compiles the service's answers anew, with the time left that they have.
func (s service) again(files map[key]*ZoneFile, hosts *flats) (service, error) {
	answers := s.answers
	if s.spent {
		answers = slices.Clone(answers)
		for i := range answers {
			answers[i].Left = min(answers[i].Left, 1)
		}
	}
	is, err := compileService(files, hosts, answers, s.made)
	is.answers, is.spent = s.answers, s.spent
	return is, err
}

// hosts returns all hosts that answers lead to, and the services that lead to
// each.
func (st *state) hosts() map[string][]string {
	out := make(map[string][]string)
	add := func(services map[string]service) {
		for name, s := range services {
			for _, host := range s.hosts {
				if !slices.Contains(out[host], name) {
					out[host] = append(out[host], name)
				}
			}
		}
	}
	add(st.start)
	add(st.laid)
	for _, services := range st.compiled {
		add(services)
	}
	return out
}

// flatsOf makes what is served of targets.
func flatsOf(targets map[string]*target, rules aliasRules, now time.Time) *flats {
	out := &flats{hosts: make(map[string]*flat, len(targets)), minTTL: uint32(rules.minTTL / time.Second)} // #nosec G115 -- a day at most
	for host, t := range targets {
		out.hosts[host] = t.flat(now, rules)
	}
	return out
}
