package authority

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Fixed lists the keys in which two configs differ that a server cannot take
// over while it runs: all but zones, allow, and the files of tls.
func (c Config) Fixed(other Config) []string {
	var out []string
	a, b := reflect.ValueOf(c), reflect.ValueOf(other)
	for i := range a.NumField() {
		key := a.Type().Field(i).Tag.Get("yaml")
		is, was := a.Field(i).Interface(), b.Field(i).Interface()
		switch key {
		case "zones", "allow":
			continue
		case "tls":
			key, is, was = "tls.listen", c.TLS.Listen, other.TLS.Listen
		}
		if same := reflect.DeepEqual(is, was) || empty(is) && empty(was); !same {
			out = append(out, key)
		}
	}
	return out
}

func empty(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Slice && r.Len() == 0
}

// Change is another config for a server that runs, with all that it names read
// and checked. See Prepare.
type Change struct {
	s      *Server
	config Config
	opts   Options
	files  []*ZoneFile
	bases  map[key]*zone
	keys   []sipKey         // nil: cookies are off
	pair   *tls.Certificate // nil: no DNS over TLS
	places *places          // nil: those of before
	// geography is what places has.
	geography *geography
	// Zones are those that come, go, or have other data, by name: "added",
	// "removed" or "changed".
	Zones map[string]string
}

// Prepare reads all that another config and options name, and checks that every
// answer that is served can be laid over it. It changes nothing. Of the options
// it takes Start, Locations, HTTPS, Hosts and Region. The error names every
// problem; a Fixed key is one.
func (s *Server) Prepare(c Config, o Options) (*Change, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	var problems []error
	for _, key := range c.Fixed(s.given) {
		problems = append(problems, fmt.Errorf("%s cannot change while the server runs", key))
	}
	c.Check(func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	})
	ch := &Change{s: s, config: c, opts: o, bases: make(map[key]*zone), Zones: map[string]string{}}
	for _, z := range c.Zones {
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
		ch.files, ch.bases[file.apex] = append(ch.files, file), base
	}
	problems = append(problems, ch.secrets()...)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	// Only Take makes the state another one, which waits for this; a large database
	// is not to hold Update up.
	if was := s.state.places.mapping; len(o.Locations)+len(was) > 0 && !reflect.DeepEqual(o.Locations, was) {
		ch.geography = s.geo.known()
		ch.places = newPlaces(o.Locations, ch.geography)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.compare(s.state)
	trial := newBook()
	trial.region = o.Region
	if _, problems := s.state.with(ch, trial, time.Now()); len(problems) > 0 {
		return nil, fmt.Errorf("authority: %w", errors.Join(problems...))
	}
	return ch, nil
}

// secrets reads what is secret.
func (ch *Change) secrets() (problems []error) {
	s := ch.s
	if s.cookies != nil && ch.config.Cookies.SecretFile != "" {
		keys, err := ch.config.Cookies.read()
		if err != nil {
			problems = append(problems, err)
		}
		ch.keys = keys
	}
	if s.certificate != nil {
		pair, err := readPair(ch.config.TLS.CertFile, ch.config.TLS.KeyFile)
		if err == nil {
			err = s.certificate.refuses(pair, ch.config.TLS.CertFile, time.Now())
		}
		// One that is as bad as that in use is no reason: it is tried again by itself.
		if err != nil && s.certificate.inUse.Load() != nil {
			problems = append(problems, err)
		}
		ch.pair = pair
	}
	return problems
}

// compare says what becomes of the zones.
func (ch *Change) compare(st *state) {
	for apex, base := range ch.bases {
		switch was := st.files[apex]; {
		case was == nil:
			ch.Zones[base.file.Name] = "added"
		case was.Hash != base.file.Hash:
			ch.Zones[base.file.Name] = "changed"
		}
	}
	for apex, was := range st.files {
		if ch.bases[apex] == nil {
			ch.Zones[was.Name] = "removed"
		}
	}
}

// Take serves what was prepared. All of it appears in one swap of the table: no
// query waits, and none sees half of it. An answer that the ledger gave since
// Prepare and that has no place now keeps none, and is logged.
func (ch *Change) Take() {
	s := ch.s
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := maps.Clone(s.state.serials)
	s.state.book.region = ch.opts.Region
	next, problems := s.state.with(ch, s.state.book, time.Now())
	for _, err := range problems {
		s.opts.Log.Error().Err(err).Msg("an answer of the ledger can't be served any more")
	}
	next.hold = false // this time it may be possible
	s.state = next
	s.config.Zones, s.config.Allow, s.config.TLS = ch.config.Zones, ch.config.Allow, ch.config.TLS
	s.given = ch.config
	if ch.places != nil {
		s.geo.move(ch.places, ch.geography)
	}
	if ch.keys != nil {
		s.cookies.keys.Store(&ch.keys)
	}
	if s.certificate != nil {
		s.certificate.replace(ch.config.TLS, ch.pair)
	}
	if s.aliases != nil {
		s.aliases.hold(ch.opts.Hosts)
	}
	s.publish(kept)
}

// with is the state with another config. What it shares with st does not change.
// The problems are answers that could no longer be served: their names have
// what they had, where there is a place for it.
func (st *state) with(ch *Change, of *book, now time.Time) (*state, []error) {
	next := *st
	next.book, next.access, next.https = of, ch.config.access(), ch.opts.HTTPS
	next.files, next.bases = make(map[key]*ZoneFile), ch.bases
	for _, f := range ch.files {
		next.files[f.apex] = f
	}
	if ch.places != nil {
		next.places = ch.places
	}
	next.hashes, next.serials, next.shards = make(map[key]string), maps.Clone(st.serials), maps.Clone(st.shards)
	problems := checkRedirected(next.files)
	next.start = compileShard(next.files, st.flats, nil, ch.opts.Start, now, func(_ string, err error) { problems = append(problems, err) })
	next.finish(next.start)
	next.compiled = make(map[int]map[string]service, len(st.compiled))
	for id, services := range st.compiled {
		kept, failed := next.move(st, services, ch.places != nil)
		next.compiled[id] = kept
		problems = append(problems, failed...)
	}
	if err := next.sign(); err != nil {
		problems = append(problems, err)
	}
	next.afresh()
	next.laid = nil
	next.retry(now)
	return &next, problems
}

// move compiles services anew for which something else holds than in the state
// before: the time left of their answers runs on.
func (st *state) move(was *state, services map[string]service, relocated bool) (map[string]service, []error) {
	kept, made := make(map[string]service, len(services)), make(map[string]service)
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(services)) {
		svc := services[name]
		file := fileOf(st.files, svc.key)
		if file == nil {
			continue // the zone is gone, and with it the name
		}
		located := slices.ContainsFunc(svc.sets, func(s *set) bool { return s.located != nil })
		_, secure := st.https[name]
		_, secured := was.https[name]
		if file.apex == svc.apex && !(located && relocated) && (!secure && !secured || reflect.DeepEqual(st.https[name], was.https[name])) {
			if err := file.CheckService(name, typeNames(svc.answers)...); err != nil {
				problems = append(problems, fmt.Errorf("zone %s: %w", file.Name, err))
			}
			kept[name] = svc
			continue
		}
		is, err := svc.again(st.files, st.flats)
		if err != nil {
			problems = append(problems, fmt.Errorf("zone %s: %w", file.Name, err))
			continue
		}
		made[name] = is
	}
	st.finish(made)
	maps.Copy(kept, made)
	return kept, problems
}

// publish swaps the table for that of the state. A serial that this server
// raised by itself is on the disk before it is served: see Run. The caller holds
// mu; kept are the serials of before.
func (s *Server) publish(kept map[key]serial) {
	table := s.state.build(false)
	s.saver.offer(s.state.snapshot())
	for apex, was := range kept {
		if is, there := s.state.serials[apex]; there && is.Offset != was.Offset {
			if s.saver.flush() != nil {
				table = s.unraised(kept)
			}
			break
		}
	}
	s.table.Store(table)
	s.leads()
}

// unraised is the table with the serials of before, that of a server that can't
// keep those that it raised by itself. The caller holds mu.
func (s *Server) unraised(kept map[key]serial) *Table {
	s.state.serials, s.state.hold = maps.Clone(kept), true
	table := s.state.build(false)
	s.saver.offer(s.state.snapshot())
	return table
}
