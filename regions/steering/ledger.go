package steering

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
)

// Shards is how many parts the ledger has. Each is decided, committed and
// journalled by itself, so that no transaction grows with the number of
// services.
const Shards = 64

// ShardOf returns the ledger shard of a service's canonical name.
func ShardOf(service string) int {
	h := fnv.New32a()
	h.Write([]byte(service)) // a hash's Write never fails
	return int(h.Sum32() % Shards)
}

// Shard is one part of the ledger as it is agreed.
type Shard struct {
	ID int `json:"id"`
	// Term and Seq order the versions of a shard: a reader never goes back
	// from (Term, Seq). Seq grows by one with every commit and never starts
	// again.
	Term regions.Term `json:"term"`
	Seq  uint64       `json:"seq"`
	// Config is the hash of the config that decided, Version the Veer.
	Config  string   `json:"config"`
	Version string   `json:"version"`
	State   State    `json:"state"`
	Answers []Answer `json:"answers"`
}

// Newer reports whether s is a later version than o of the same shard.
func (s Shard) Newer(o Shard) bool {
	return s.Term > o.Term || s.Term == o.Term && s.Seq > o.Seq
}

// Entry is one decision in the journal: what went in, what came out.
type Entry struct {
	Term    regions.Term `json:"term"`
	Seq     uint64       `json:"seq"`
	Shard   int          `json:"shard"`
	Config  string       `json:"config"`
	Version string       `json:"version"`
	// Time is the leader's wall clock (RFC 3339), for people only.
	Time string `json:"time"`
	// Cause says in words what made the controller decide.
	Cause    string   `json:"cause"`
	Input    Input    `json:"input"`
	Decision Decision `json:"decision"`
	// Moves are what the leader measured of those moves that votes made.
	Moves []Move `json:"moves,omitempty"`
}

// Move is what was measured of a service's move until it was decided; the
// commit, some milliseconds, comes on top.
type Move struct {
	Service string `json:"service"`
	// Seen is the time from the first sign that the leader saw.
	Seen time.Duration `json:"seen"`
	// Recovery is the longest time from the failure until no cached answer leads
	// to it any more, Limit the service's rto; 0: there is none.
	Recovery time.Duration `json:"recovery,omitempty"`
	Limit    time.Duration `json:"limit,omitempty"`
}

// Moved returns the services whose answer's data, not only its TTL, is another
// than before, sorted.
func (e Entry) Moved() []string {
	was := make(map[string][]providers.RRSet, len(e.Input.Prev.Services))
	for _, s := range e.Input.Prev.Services {
		was[s.Name] = s.Answer
	}
	var out []string
	for _, s := range e.Decision.Next.Services {
		same := slices.EqualFunc(was[s.Name], s.Answer, func(a, b providers.RRSet) bool {
			a.TTL, b.TTL = 0, 0
			return a.Equal(b)
		})
		if !same {
			out = append(out, s.Name)
		}
	}
	return out
}

// Replay decides again from the entry's input, and reports whether this
// version makes the same decision, byte for byte, and the decision it makes.
func (e Entry) Replay() (Decision, bool) {
	d := Decide(e.Input)
	was, errWas := json.Marshal(e.Decision)
	is, errIs := json.Marshal(d)
	return d, errWas == nil && errIs == nil && string(was) == string(is)
}
