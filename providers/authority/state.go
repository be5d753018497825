package authority

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// state is all that a table is made of. It serves one goroutine at a time.
type state struct {
	files   map[key]*ZoneFile
	bases   map[key]*zone  // what the files say alone
	zones   map[key]*zone  // what was served last
	hashes  map[key]string // of each zone's file and start answers
	serials map[key]serial
	hold    bool // serials are not raised beyond the derived ones: see serial.held
	shards  map[int]savedShard
	// compiled holds each shard's services by name; start those of the very
	// first start, which hold for names that no shard answers.
	compiled map[int]map[string]service
	start    map[string]service
	over     Overlay // nil: the ledger's answers are served
	laid     map[string]service
	places   *places          // nil: every client is in the default location
	https    map[string]HTTPS // by service
	flats    *flats           // nil: ALIAS answers can't be served
	book     *book
	access   access
	// effective follows all of these.
	effective effective
	log       zerolog.Logger
}

// newState is newFlatState for a server that looks no hosts up.
func newState(files []*ZoneFile, start []steering.Answer, log zerolog.Logger, now time.Time) (*state, error) {
	return newFlatState(files, nil, start, log, now)
}

// newFlatState compiles the zones and the start answers. Each start answer in
// one of the zones must be one that can be served.
func newFlatState(files []*ZoneFile, hosts *flats, start []steering.Answer, log zerolog.Logger, now time.Time) (*state, error) {
	st := &state{
		files: make(map[key]*ZoneFile), bases: make(map[key]*zone), zones: make(map[key]*zone), hashes: make(map[key]string),
		serials: make(map[key]serial), shards: make(map[int]savedShard),
		compiled: make(map[int]map[string]service), effective: newEffective(), book: newBook(), flats: hosts, log: log,
	}
	for _, f := range files {
		base, err := compileZone(f)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", f.Name, err)
		}
		st.files[f.apex], st.bases[f.apex], st.zones[f.apex] = f, base, base
	}
	problems := checkRedirected(st.files)
	st.start = compileShard(st.files, hosts, nil, start, now, func(_ string, err error) { problems = append(problems, err) })
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	st.effective.touch(st.start)
	return st, st.sign()
}

// afresh lets the next table be made of all that there is: a zone's file is
// another one.
func (st *state) afresh() {
	st.zones, st.effective = maps.Clone(st.bases), newEffective()
	st.effective.touch(st.start)
	st.effective.touch(st.laid)
	for _, services := range st.compiled {
		st.effective.touch(services)
	}
}

// sign notes what each zone's data is that comes from no shard.
func (st *state) sign() error {
	for apex, f := range st.files {
		hash, err := st.hash(f)
		if err != nil {
			return err
		}
		st.hashes[apex] = hash
	}
	return nil
}

// hash is over the zone's data that comes from no shard: its file, the answers of
// the start, and what the config makes of answers, whosever they are.
func (st *state) hash(f *ZoneFile) (string, error) {
	sum := sha256.New()
	sum.Write([]byte(f.Hash)) // a hash's Write never fails
	for _, name := range slices.Sorted(maps.Keys(st.start)) {
		if s := st.start[name]; s.apex == f.apex {
			text, err := json.Marshal(s.answers)
			if err != nil {
				return "", fmt.Errorf("service %s: %w", name, err)
			}
			sum.Write(text)
		}
	}
	made := struct {
		HTTPS     map[string]HTTPS
		Locations map[string][]Location
	}{HTTPS: within(f, st.files, st.https)}
	if st.places != nil {
		made.Locations = within(f, st.files, st.places.mapping)
	}
	if len(made.HTTPS) > 0 || len(made.Locations) > 0 {
		text, err := json.Marshal(made) // maps in the order of their keys
		if err != nil {
			return "", fmt.Errorf("HTTPS records and locations: %w", err)
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// within are the entries of names that are in one of the zones.
func within[V any](f *ZoneFile, files map[key]*ZoneFile, all map[string]V) map[string]V {
	out := make(map[string]V)
	for name, v := range all {
		if k, err := keyOf(name); err == nil {
			if of := fileOf(files, k); of != nil && of.apex == f.apex {
				out[name] = v
			}
		}
	}
	return out
}

// restore takes over a snapshot. How long ago it was taken is not known, so
// that an answer with time left may change at any moment: it gets its floor.
func (st *state) restore(s snapshot, now time.Time) {
	for _, shard := range s.Shards {
		st.put(shard, now)
		for name, svc := range st.compiled[shard.ID] {
			st.compiled[shard.ID][name] = svc.expire(now)
		}
		held := st.shards[shard.ID]
		held.Refused = shard.Refused
		st.shards[shard.ID] = held
	}
	st.retry(now) // the zone files may be others than before
	for apex, f := range st.files {
		st.serials[apex] = s.zone(f.Name)
	}
}

// take takes over a shard if it is newer than what is held, and reports
// whether it did.
func (st *state) take(s steering.Shard, now time.Time) bool {
	if s.ID < 0 || s.ID >= steering.Shards {
		st.log.Error().Int("shard", s.ID).Msg("a shard with an impossible number is ignored")
		return false
	}
	held, ok := st.shards[s.ID]
	if ok && !s.Newer(steering.Shard{Term: held.Term, Seq: held.Seq}) {
		return false
	}
	st.put(savedShard{ID: s.ID, Term: s.Term, Seq: s.Seq, Answers: s.Answers}, now)
	return true
}

func (st *state) put(s savedShard, now time.Time) {
	bad := make(map[string]bool)
	compiled := compileShard(st.files, st.flats, st.compiled[s.ID], s.Answers, now, func(name string, err error) {
		bad[name] = true
		st.log.Error().Err(err).Int("shard", s.ID).Str("service", name).
			Msg("an answer of the ledger can't be served; the name keeps what it had")
	})
	st.finish(compiled)
	// What is kept is what is served: a restart must not lose an answer that
	// was held in place of a bad one. The bad one is this version's all the same,
	// and is tried again when there is another zone file: see retry.
	var answers, refused []steering.Answer
	for _, a := range s.Answers {
		name := providers.CanonicalName(a.Name)
		if _, ok := compiled[name]; !ok {
			answers = append(answers, a)
		} else if bad[name] {
			refused = append(refused, a)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(compiled)) {
		answers = append(answers, compiled[name].answers...)
	}
	s.Answers, s.Refused = answers, refused
	st.effective.touch(st.compiled[s.ID])
	st.effective.touch(compiled)
	st.shards[s.ID], st.compiled[s.ID] = s, compiled
}

// build makes the table of the state. changed says that a shard was taken.
func (st *state) build(changed bool) *Table {
	st.lay(time.Now())
	edits := st.effective.settle(st.bases, st.service)
	var sum uint64
	for _, shard := range st.shards {
		sum += shard.Seq
	}
	zones := make([]*zone, 0, len(st.zones))
	for apex, z := range st.zones {
		was := st.serials[apex]
		next := was.next
		if st.hold {
			next = was.held
		}
		is := next(z.file.soa().Serial, sum, st.hashes[apex], changed)
		switch {
		case st.hold && is.Hash == heldBack && was.Hash != heldBack:
			st.log.Error().Str("zone", z.file.Name).Uint32("serial", is.Serial).
				Msg("the zone changed and its serial stays: this server would have to raise it by itself, and could not keep that")
		case is.Offset != was.Offset:
			st.log.Warn().Str("zone", z.file.Name).Uint32("serial", is.Serial).
				Msg("the zone changed and its derived serial did not grow: this server raises it by itself; raise the serial in the zone file with each edit of it, and of https or locations in the config")
		}
		st.serials[apex] = is
		z = z.withSerial(is.Serial, edits[apex])
		z.line, z.allow = st.book.zone(apex), st.access.of(apex)
		st.zones[apex] = z
		zones = append(zones, z)
	}
	t := newTable(zones)
	t.allow = st.access.all
	return t
}

// service returns the service that answers for the name, if any.
func (st *state) service(name string) (service, bool) {
	if s, ok := st.laid[name]; ok {
		return s, true
	}
	return st.ledgers(name)
}

// ledgers returns the service that the shards or the start answers have.
func (st *state) ledgers(name string) (service, bool) {
	for id := range steering.Shards {
		if s, ok := st.compiled[id][name]; ok {
			return s, true
		}
	}
	s, ok := st.start[name]
	return s, ok
}

// snapshot returns what is to be saved. It shares nothing that changes.
func (st *state) snapshot() snapshot {
	var s snapshot
	for _, shard := range st.shards {
		s.Shards = append(s.Shards, shard)
	}
	sortShards(s.Shards)
	for apex, f := range st.files {
		s.Zones = append(s.Zones, savedZone{f.Name, st.serials[apex]})
	}
	slices.SortFunc(s.Zones, func(a, b savedZone) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// answers returns what is served for the name.
func (st *state) answers(name string) []steering.Answer {
	name = providers.CanonicalName(name)
	if s, ok := st.laid[name]; ok {
		return slices.Clone(s.answers)
	}
	return st.held(name)
}

// held returns what the shards, or the start answers, say of the name.
func (st *state) held(name string) []steering.Answer {
	s, _ := st.ledgers(name)
	return slices.Clone(s.answers)
}
