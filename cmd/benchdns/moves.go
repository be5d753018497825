//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// move is one change of the answer; moments are the generator's.
type move struct {
	decided   time.Duration // the decision began: before the commit
	committed time.Duration // the leader had etcd's reply
	first     time.Duration // the first answer with the new addresses came
	last      time.Duration // the last answer with the old ones came
}

// most is the time from the commit to the last old answer, and a bit more: the
// moment of a commit can't be seen from outside. The leader has etcd's reply
// after it, and an answer with the new addresses comes after it too, since the
// authority learns of it by a watch; either could be later than old answers
// that count. The decision, which the log tells, comes before it. So the time
// is taken from there: deciding and committing are in it.
func (m move) most() time.Duration { return max(0, m.last-m.decided) }

// reply is the time from the leader's having etcd's reply, to compare.
func (m move) reply() time.Duration { return max(0, m.last-m.committed) }

const (
	// settled is how long no old answer came before a move is over.
	settled = 300 * time.Millisecond
	// glance is how often the log is looked at.
	glance = 50 * time.Microsecond
)

// mover lets the moving name move, and holds every answer for it against what
// it may be: all of the old addresses or all of the new ones. It is a watcher.
type mover struct {
	ctx     context.Context
	ended   <-chan struct{} // closed when the server has ended
	ends    interface{ set(works bool) error }
	log     *logFollower
	steered *question
	states  [2][][]byte // the addresses at home and away
	rest    time.Duration

	left    int // moves still to make; 0: it only judges
	is      int // the state before this move
	current move
	began   time.Duration
	looked  time.Duration
	done    []move
	mixed   uint64
	stale   uint64
	resting bool // between two moves
}

// begin asks for so many moves.
func (m *mover) begin(moves int) {
	m.left, m.done, m.mixed, m.stale, m.began, m.resting, m.current = moves, nil, 0, 0, 0, true, move{}
}

// judge is a watcher's.
func (m *mover) judge(reply []byte, q *question, edns bool, now time.Duration) (judgement, bool) {
	if q != m.steered {
		return judge(reply, q, edns)
	}
	state := m.stateOf(reply, edns)
	switch {
	case state < 0:
		return wrong, false
	case state == mixedState:
		m.mixed++
		return wrong, false
	case m.left == 0:
	case m.resting && state != m.is:
		m.stale++
	case state == m.is:
		m.current.last = now
	case m.current.first == 0:
		m.current.first = now
	}
	return right, false
}

const mixedState = 2

// stateOf tells which addresses an answer carries: of state 0 or 1, of both, or
// -1 for an answer that is wrong otherwise.
func (m *mover) stateOf(reply []byte, edns bool) int {
	query, records := m.steered.plain, len(m.states[0])
	if len(reply) < len(query) || !bytes.Equal(reply[headerSize:len(query)], query[headerSize:]) {
		return -1
	}
	if reply[2]&^1 != 0x84 || reply[3]&15 != 0 || int(binary.BigEndian.Uint16(reply[6:])) != records {
		return -1
	}
	extra := 0
	if edns {
		extra = 1
	}
	if binary.BigEndian.Uint16(reply[4:]) != 1 || binary.BigEndian.Uint16(reply[8:]) != 0 || int(binary.BigEndian.Uint16(reply[10:])) != extra {
		return -1
	}
	var seen [2]uint64 // which addresses of each state
	at := len(query)
	for range records {
		r, end := record(reply, at)
		if end < 0 || r.typ != m.steered.typ || r.class != 1 {
			return -1
		}
		found := false
		for s := range m.states {
			for i, a := range m.states[s] {
				if bytes.Equal(a, r.data) {
					seen[s], found = seen[s]|1<<i, true
				}
			}
		}
		if !found {
			return -1
		}
		at = end
	}
	whole := uint64(1)<<records - 1
	switch {
	case seen[0] != 0 && seen[1] != 0:
		return mixedState
	case seen[0] == whole:
		return 0
	case seen[1] == whole:
		return 1
	}
	return -1
}

// step is a watcher's: it looks at the log, and goes on to the next move.
func (m *mover) step(now time.Duration) (over bool, err error) {
	if now-m.looked < glance {
		return false, nil
	}
	m.looked = now
	if m.left == 0 {
		return false, m.log.skip()
	}
	if err := m.look(); err != nil {
		return false, err
	}
	switch {
	case m.resting && m.began == 0: // the first one
		m.began = now + m.rest
	case m.resting && now >= m.began:
		m.resting, m.current = false, move{}
		if err := m.ends.set(m.is == 1); err != nil { // home works again, or fails
			return false, err
		}
	case m.resting:
	case m.current.committed != 0 && m.current.first != 0 && now-max(m.current.committed, m.current.first, m.current.last) > settled:
		m.done = append(m.done, m.current)
		m.is, m.resting, m.began = 1-m.is, true, now+m.rest
		m.left--
		if m.left == 0 {
			return true, nil
		}
	case now-m.began > moveLimit:
		return false, fmt.Errorf("move %d did not end within %s: commit seen %t, new answer seen %t", len(m.done)+1, moveLimit, m.current.committed != 0, m.current.first != 0)
	}
	select {
	case <-m.ctx.Done():
		return false, m.ctx.Err()
	case <-m.ended:
		return false, errors.New("the server ended by itself")
	default:
	}
	return false, nil
}

// look takes what the log says of commits.
func (m *mover) look() error {
	lines, err := m.log.lines()
	if err != nil {
		return err
	}
	for _, l := range lines {
		to := awayAddresses
		if m.is == 1 {
			to = homeAddresses
		}
		if m.resting || m.current.committed != 0 || l.to != joined(to) {
			return fmt.Errorf("the answer moved to %s when it should not: %s", l.to, l.why)
		}
		m.current.committed, m.current.decided = l.at, l.at-l.took
	}
	return nil
}
