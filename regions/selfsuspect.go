package regions

import (
	"fmt"
	"slices"

	"github.com/veerdns/veer/checks"
)

const (
	// nearlyAll is the share of its votes, in percent, that a vantage must
	// call down to come under suspicion. Below ten votes it means all.
	nearlyAll = 90
	// leastVotes is how many votes it takes: one endpoint down here and up
	// elsewhere is a broken path, which is what a vote is there to tell.
	leastVotes = 2
	// leastWitnesses is how many other vantages must contradict.
	leastWitnesses = 2
)

// SelfSuspect returns the ballots, in the same order, with Suspect and Why set
// on those of vantages that have lost their own network rather than found the
// endpoints down (DESIGN, "Health": the rule for vantages without references).
// A ballot is suspect when at least 90 % of its votes that are not unknown, and
// at least two, are down (so with fewer than ten nearly all means all), while
// enough other vantages each see up or degraded at least one endpoint that it
// calls down. Enough is two, and more than half of the listed vantages: were
// it two of five, two that lie could silence three that see a real outage.
//
// A vantage that itself sees nearly everything down bears no witness: if
// everyone sees everything down, or nearly so, it is down. Nor does a ballot
// that is suspect already, or that is of a vantage not listed; those are
// returned as they are. The argument is not changed; the votes are shared with
// it. A ballot names an endpoint at most once.
//
// It keeps property 3: where more than half of the listed vantages agree, none
// of them can be marked, and a mark on another takes away votes only.
func SelfSuspect(ballots []Ballot, listed []Name) []Ballot {
	marked := slices.Clone(ballots)
	names := slices.Compact(slices.Sorted(slices.Values(listed)))
	enough := max(leastWitnesses, len(names)/2+1)
	var suspects, witnesses []int
	for i, b := range ballots {
		_, isListed := slices.BinarySearch(names, b.Vantage)
		switch {
		case b.Suspect || !isListed:
		case nearlyAllDown(b.Votes):
			suspects = append(suspects, i)
		default:
			witnesses = append(witnesses, i)
		}
	}
	for _, i := range suspects {
		if against := contradicting(ballots, ballots[i], witnesses); len(against) >= enough {
			marked[i].Suspect = true
			marked[i].Why = fmt.Sprintf("%s calls nearly everything down that %d other vantages see up: it doubts its own network", ballots[i].Vantage, len(against))
		}
	}
	return marked
}

func nearlyAllDown(votes []Vote) bool {
	var said, down int
	for _, v := range votes {
		if v.Health != checks.Unknown {
			said++
		}
		if v.Health == checks.Down {
			down++
		}
	}
	return down >= leastVotes && down*100 >= said*nearlyAll
}

// contradicting returns the vantages among the witnesses that see an endpoint
// work which b calls down.
func contradicting(ballots []Ballot, b Ballot, witnesses []int) []Name {
	if len(witnesses) == 0 {
		return nil
	}
	down := make(map[EndpointID]bool, len(b.Votes))
	for _, v := range b.Votes {
		down[v.Endpoint] = v.Health == checks.Down
	}
	var against []Name
	for _, w := range witnesses {
		sees := func(v Vote) bool {
			return down[v.Endpoint] && (v.Health == checks.Up || v.Health == checks.Degraded)
		}
		other := ballots[w]
		if other.Vantage != b.Vantage && !slices.Contains(against, other.Vantage) && slices.ContainsFunc(other.Votes, sees) {
			against = append(against, other.Vantage)
		}
	}
	return against
}
