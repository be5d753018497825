// Package regions says what one region says of an endpoint (Vote, in a
// Ballot), and what the regions agree on (Quorum, Verdict).
//
// The package is pure: the standard library and checks only, no clock, no
// logger, no I/O. The order of votes and ballots never matters, and the same
// votes give the same verdict, byte for byte.
package regions

import (
	"time"

	"github.com/veerdns/veer/checks"
)

// Name names a region or a vantage as the config does.
type Name string

// EndpointID identifies what is probed: a monitor and an address, written
// "web@192.0.2.10". Two services that share both share the votes.
type EndpointID string

// Term counts leaders. It is raised in the transaction that makes a leader and
// is never an etcd revision, which starts again on a rebuilt cluster.
type Term uint64

// Vote is what one vantage says of one endpoint.
type Vote struct {
	Vantage  Name          `json:"vantage"`
	Endpoint EndpointID    `json:"endpoint"`
	Health   checks.Health `json:"health"`
	// Round grows with every probe of this endpoint by this vantage; of two
	// votes of one vantage the higher round holds.
	Round uint64 `json:"round"`
	// Why is the reason of the result that made the vote.
	Why string `json:"why,omitempty"`
	// RoundTrip is what the vantage measures to the endpoint and back, on
	// average; 0: it does not know, or nobody wants to.
	RoundTrip time.Duration `json:"round_trip,omitempty"`
}

// Distance returns the round trip that a vote says, 0 for unknown. One that
// does not say that the endpoint works says nothing of the way there.
func (v Vote) Distance() time.Duration {
	if v.Health != checks.Up && v.Health != checks.Degraded {
		return 0
	}
	if v.RoundTrip < 0 || v.RoundTrip > maxRoundTrip {
		return 0
	}
	return v.RoundTrip
}

// maxRoundTrip is the longest that is believed.
const maxRoundTrip = time.Minute

// Ballot is all that one vantage says, as far as its lease lives.
type Ballot struct {
	Vantage Name   `json:"vantage"`
	Votes   []Vote `json:"votes"`
	// Suspect says that the vantage doubts itself (most of its references
	// fail): its votes count as unknown. Why says so in words.
	Suspect bool   `json:"suspect,omitempty"`
	Why     string `json:"why,omitempty"`
	// Config is the hash of the config that the vantage runs, empty where it
	// does not say. It decides nothing.
	Config string `json:"config,omitempty"`
}
