package regions

import (
	"cmp"
	"slices"
	"testing"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions/regionstest"
)

// TestMutants shows that each property tells a broken twin from the right one.
func TestMutants(t *testing.T) {
	for _, m := range []struct {
		name     string
		property property
		twin     tally
	}{
		{"property 1: the last vote wins", orderMatters, lastVoteWins},
		{"property 1: repeated votes count again", orderMatters, votesCountNotVantages},
		{"property 2: missing counts as down", unknownCounts, missingIsDown},
		{"property 2: unknown counts as down", unknownCounts, unknownIsDown},
		{"property 2: the denominator is the live vantages", unknownCounts, liveDenominator},
		{"property 2: any voter will do", unknownCounts, anyVoter},
		{"property 3: one vote decides", minorityDecides(uncounted), oneDecides},
		{"property 3: the worst vote decides", minorityDecides(uncounted), worstDecides},
		{"property 3: missing counts as down and all must agree", minorityDecides(uncounted), allMustAgree},
		{"partition: unknown votes are against", partition, unknownIsAgainst},
		{"partition: strangers vote", partition, strangersVote},
		{"twin: up goes before degraded", sameAsTwin, upBeforeDegraded},
		{"twin: older votes hold", sameAsTwin, oldestHolds},
	} {
		regionstest.Caught(t, 1000, m.name, m.property(m.twin))
	}
	for _, m := range suspectMutants() {
		regionstest.Caught(t, 1000, m.name, m.property(m.twin))
	}
}

// lastVoteWins makes the order of votes their round.
func lastVoteWins(q Quorum, e EndpointID, votes []Vote) Verdict {
	votes = slices.Clone(votes)
	for i := range votes {
		votes[i].Round = uint64(i)
	}
	return q.Tally(e, votes)
}

// votesCountNotVantages counts every vote that says down.
func votesCountNotVantages(q Quorum, e EndpointID, votes []Vote) Verdict {
	v := q.Tally(e, votes)
	v.Doubted = 0
	for _, vote := range votes {
		if vote.Health == checks.Down && vote.Endpoint == e {
			v.Doubted++
		}
	}
	return v
}

// filled has a vote of h for every vantage that cast none.
func filled(q Quorum, e EndpointID, votes []Vote, h checks.Health) []Vote {
	votes = slices.Clone(votes)
	for _, name := range q.Vantages {
		if !slices.ContainsFunc(votes, func(v Vote) bool { return v.Vantage == name && v.Endpoint == e }) {
			votes = append(votes, Vote{Vantage: name, Endpoint: e, Health: h})
		}
	}
	return votes
}

func missingIsDown(q Quorum, e EndpointID, votes []Vote) Verdict {
	return q.Tally(e, filled(q, e, votes, checks.Down))
}

func unknownIsDown(q Quorum, e EndpointID, votes []Vote) Verdict {
	votes = slices.Clone(votes)
	for i := range votes {
		if votes[i].Health == checks.Unknown {
			votes[i].Health = checks.Down
		}
	}
	return q.Tally(e, votes)
}

// liveDenominator takes the majority of those that voted.
func liveDenominator(q Quorum, e EndpointID, votes []Vote) Verdict {
	v := q.Tally(e, votes)
	q.Need = (len(q.Vantages)-len(v.Missing))/2 + 1
	q.MinVoters = 1
	return q.Tally(e, votes)
}

func anyVoter(q Quorum, e EndpointID, votes []Vote) Verdict {
	q.MinVoters = 0
	return q.Tally(e, votes)
}

func oneDecides(q Quorum, e EndpointID, votes []Vote) Verdict {
	q.Need = 1
	return q.Tally(e, votes)
}

func worstDecides(q Quorum, e EndpointID, votes []Vote) Verdict {
	v := q.Tally(e, votes)
	for _, vote := range votes {
		if vote.Endpoint == e && vote.Health != checks.Unknown {
			v.Health = min(cmp.Or(v.Health, vote.Health), vote.Health)
		}
	}
	return v
}

func allMustAgree(q Quorum, e EndpointID, votes []Vote) Verdict {
	q.Need = len(q.Vantages)
	return q.Tally(e, filled(q, e, votes, checks.Down))
}

func unknownIsAgainst(q Quorum, e EndpointID, votes []Vote) Verdict {
	v := q.Tally(e, votes)
	v.Against = append(v.Against, v.Missing...) // and they are still missing
	return v
}

func strangersVote(q Quorum, e EndpointID, votes []Vote) Verdict {
	q.Vantages = append(slices.Clone(q.Vantages), "stranger")
	return q.Tally(e, votes)
}

func upBeforeDegraded(q Quorum, e EndpointID, votes []Vote) Verdict {
	v := q.Tally(e, votes)
	if v.Health == checks.Degraded && len(v.For)-v.Doubted+len(v.Against) >= q.Need {
		v.Health = checks.Up
	}
	return v
}

func oldestHolds(q Quorum, e EndpointID, votes []Vote) Verdict {
	votes = slices.Clone(votes)
	for i := range votes {
		votes[i].Round = 100 - votes[i].Round
	}
	return q.Tally(e, votes)
}
