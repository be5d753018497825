package authority

import (
	"reflect"
	"slices"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// Overlay is what one server answers in place of the ledger's answers: given
// those of some services, it returns what to serve of them. A service that it
// returns as it was, or not at all, or with what can't be served, is answered
// as the ledger says. It is called with every swap of the table, must not call
// the Server, and must not change what it is given.
type Overlay func(ledger []steering.Answer) []steering.Answer

// Lay serves the ledger's answers through an overlay from now on; nil: as they
// are. Nothing else changes: no serial moves, so that no secondary transfers
// what only this server answers, and the snapshot keeps the ledger's answers.
func (s *Server) Lay(over Overlay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.over == nil && over == nil {
		return
	}
	s.state.over = over
	s.table.Store(s.state.build(false))
	s.leads()
}

// Ledger returns what the ledger says of a service's name, whatever an overlay
// makes of it; nil if it is none.
func (s *Server) Ledger(name string) []steering.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.held(providers.CanonicalName(name))
}

// LaidOf returns what is served of one name in place of the ledger's answer;
// nil: the ledger's is.
func (s *Server) LaidOf(name string) []steering.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.state.laid[providers.CanonicalName(name)].answers)
}

// Laid returns all answers that are served in place of the ledger's, in no
// order.
func (s *Server) Laid() []steering.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []steering.Answer
	for _, svc := range s.state.laid {
		out = append(out, svc.answers...)
	}
	return out
}

// lay compiles what the overlay makes of the answers.
func (st *state) lay(now time.Time) {
	st.effective.touch(st.laid)
	st.laid = nil
	if st.over == nil {
		return
	}
	defer func() { st.effective.touch(st.laid) }()
	ledger := make(map[string]service, len(st.start))
	for name, s := range st.start {
		ledger[name] = s
	}
	for _, services := range st.compiled {
		for name, s := range services {
			ledger[name] = s
		}
	}
	var all []steering.Answer
	for _, s := range ledger {
		all = append(all, s.answers...)
	}
	laid := make(map[string][]steering.Answer)
	for _, a := range st.over(all) {
		name := providers.CanonicalName(a.Name)
		laid[name] = append(laid[name], a)
	}
	var changed []steering.Answer
	for name, answers := range laid {
		if was, known := ledger[name]; known && !reflect.DeepEqual(answers, was.answers) {
			changed = append(changed, answers...)
		}
	}
	laidOver := compileShard(st.files, st.flats, nil, changed, now, func(name string, err error) {
		st.log.Error().Err(err).Str("service", name).Msg("what this server would answer by itself can't be served; the name keeps the ledger's answer")
	})
	st.finish(laidOver)
	st.laid = laidOver
}
