package authority

import "hash/maphash"

// memo remembers answers of the fast path, each in two neighbouring lines of the
// CPU's cache. To find one in the table takes a chain of reads, each of which
// waits for the one before. It holds only answers that depend on nothing but the
// question's name and type, of one table: with another it begins anew. It serves
// one goroutine.
type memo struct {
	table *Table
	seed  maphash.Seed
	sets  []memoSet
	turn  int // which of a full set's places is next to go

	fetched byte // keeps the compiler from leaving out what fetch reads
}

// memoSet are the places that a question may have.
type memoSet [2]memoized

// memoized is one answer, with all that is asked of it, so that nothing else of
// the table need be read.
type memoized struct {
	hash         uint64 // 0: empty
	zone         *zone
	pick         *pick
	id           uint64 // of the subject
	line         line   // of the service's count
	typ, answers uint16 // of the question and of the records
	records      uint16
	wire         uint8 // the size of the answer, which is first in data
	name         uint8 // and that of the question's name, which is behind it
	steered      bool
	data         [memoRoom]byte
}

const (
	memoRoom = 83   // what is longer is looked up
	memoSets = 4096 // 1 MiB
)

// outcome is what answered.
func (e *memoized) outcome() outcome {
	return outcome{zone: e.zone, pick: e.pick, known: true, what: subject{class: limitAnswers, typ: e.answers, id: e.id}, line: e.line}
}

// newMemo makes a memo of so many sets, a power of 2.
func newMemo(sets int) *memo {
	return &memo{seed: maphash.MakeSeed(), sets: make([]memoSet, sets)}
}

// set is where a question with the hash has its places.
func (m *memo) set(hash uint64) *memoSet { return &m.sets[hash/2&uint64(len(m.sets)-1)] }

// hash is that of a question.
func (m *memo) hash(q *question) uint64 {
	return maphash.Bytes(m.seed, q.key(0)) ^ uint64(q.typ)*0x9e3779b97f4a7c15 | 1
}

// fetch has the CPU fetch a question's places, and does not wait for them: both
// lines of each, since to find out which it is would be to wait.
func (m *memo) fetch(hash uint64) {
	for i, set := 0, m.set(hash); i < len(set); i++ {
		m.fetched += byte(set[i].hash) + set[i].data[memoRoom-1]
	}
}

// find returns what the table answers to the question, or nil where it is to be
// looked up.
func (m *memo) find(t *Table, q *question, hash uint64) *memoized {
	if m.table != t {
		clear(m.sets) // of all that holds the old table in memory
		m.table = t
		return nil
	}
	set := m.set(hash)
	for i := range set {
		if e := &set[i]; e.hash == hash && e.typ == q.typ && string(e.data[e.wire:][:e.name]) == string(q.key(0)) {
			return e
		}
	}
	return nil
}

// keep remembers an answer, in place of another one, unless its TTL changes or
// it carries more than its records.
func (m *memo) keep(q *question, hash uint64, was outcome) {
	p := was.pick
	if len(p.ttls) > 0 || p.why != nil || q.size+len(p.wire) > memoRoom {
		return
	}
	set := m.set(hash)
	e := &set[0]
	if e.hash != 0 {
		e = &set[1]
	}
	if e.hash != 0 {
		m.turn = 1 - m.turn
		e = &set[m.turn]
	}
	*e = memoized{
		hash: hash, zone: was.zone, pick: p, id: was.node.id, line: p.line, typ: q.typ, answers: p.typ, records: p.records, steered: p.steered,
		name: uint8(q.size), wire: uint8(len(p.wire)), // #nosec G115 -- at most memoRoom
	}
	copy(e.data[copy(e.data[:], p.wire):], q.key(0))
}
