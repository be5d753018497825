package regions

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions/regionstest"
)

// tally is Quorum.Tally, or a broken twin of it.
type tally func(q Quorum, endpoint EndpointID, votes []Vote) Verdict

// property makes a Find that checks a tally.
type property func(tally) regionstest.Find

var anyHealth = rapid.SampledFrom([]checks.Health{checks.Unknown, checks.Down, checks.Degraded, checks.Up})

func drawQuorum(rt *rapid.T) Quorum {
	n := rapid.SampledFrom([]int{3, 5, 4, 7, 2, 1, 6}).Draw(rt, "vantages")
	q := Quorum{MinVoters: DefaultMinVoters(n)}
	for i := range n {
		q.Vantages = append(q.Vantages, Name(rune('a'+i)))
	}
	q.Need = n/2 + 1
	if rapid.Bool().Draw(rt, "another need") {
		q.Need = rapid.IntRange(1, n).Draw(rt, "need")
		q.MinVoters = rapid.IntRange(1, n).Draw(rt, "min voters")
	}
	return q
}

// drawVotes has at least the votes of some listed vantages; older and repeated
// votes, those of strangers and of other endpoints are among them.
func drawVotes(rt *rapid.T, q Quorum) []Vote {
	name := rapid.SampledFrom(append(slices.Clone(q.Vantages), "stranger"))
	endpoint := rapid.SampledFrom([]EndpointID{web, web, web, "web@192.0.2.99"})
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Vote {
		return Vote{
			Vantage: name.Draw(rt, "by"), Endpoint: endpoint.Draw(rt, "of"),
			Health: anyHealth.Draw(rt, "health"), Round: rapid.Uint64Range(1, 3).Draw(rt, "round"),
		}
	}), 0, 12).Draw(rt, "votes")
}

func differ(q Quorum, votes []Vote, got Verdict, format string, args ...any) error {
	return fmt.Errorf("need %d (at least %d voters) of %s, votes %s: got %s, but %s",
		q.Need, q.MinVoters, joined(q.Vantages), brief(votes), asJSON(got), fmt.Sprintf(format, args...))
}

func brief(votes []Vote) (out []string) {
	for _, v := range votes {
		text := fmt.Sprintf("%s=%s@%d", v.Vantage, v.Health, v.Round)
		if v.Endpoint != web {
			text += " of another endpoint"
		}
		out = append(out, text)
	}
	return out
}

// Property 1: neither the order of votes nor their repetition matters.
func orderMatters(tally tally) regionstest.Find {
	return func(rt *rapid.T) error {
		q := drawQuorum(rt)
		votes := drawVotes(rt, q)
		got := tally(q, web, votes)
		again := rapid.Permutation(slices.Concat(votes, votes)).Draw(rt, "again")
		if other := tally(q, web, again); asJSON(other) != asJSON(got) {
			return differ(q, votes, got, "%s gives %s", brief(again), asJSON(other))
		}
		return nil
	}
}

// Property 2: a vote that says unknown is as good as none, and fewer than Need
// votes, or MinVoters, give no verdict.
func unknownCounts(tally tally) regionstest.Find {
	return func(rt *rapid.T) error {
		q := drawQuorum(rt)
		var votes, known []Vote
		for _, name := range q.Vantages {
			v := Vote{Vantage: name, Endpoint: web, Round: 1, Health: anyHealth.Draw(rt, "health")}
			votes = append(votes, v)
			if v.Health != checks.Unknown {
				known = append(known, v)
			}
		}
		got := tally(q, web, votes)
		if other := tally(q, web, known); asJSON(other) != asJSON(got) {
			return differ(q, votes, got, "without the unknown ones it is %s", asJSON(other))
		}
		if len(known) < max(q.Need, q.MinVoters) && got.Health != checks.Unknown {
			return differ(q, votes, got, "only %d voted", len(known))
		}
		return nil
	}
}

// Property 3: where at least Need vantages, more than half, agree, the others
// change nothing, whether they vote otherwise or are silent.
func minorityDecides(coverage func(...string)) property {
	return func(tally tally) regionstest.Find {
		return func(rt *rapid.T) error {
			q := drawQuorum(rt)
			n := len(q.Vantages)
			most := n - max(q.Need, q.MinVoters, n/2+1)
			failing := most
			if rapid.IntRange(0, 3).Draw(rt, "fewer fail") == 0 {
				failing = rapid.IntRange(0, most).Draw(rt, "failing")
			}
			if failing >= q.Need {
				failing = q.Need - 1 // a Need of them would decide by the rule
			}
			agreed := rapid.SampledFrom([]checks.Health{checks.Down, checks.Degraded, checks.Up}).Draw(rt, "agreed")
			var votes []Vote
			var events []string
			for i, name := range rapid.Permutation(q.Vantages).Draw(rt, "names") {
				v := Vote{Vantage: name, Endpoint: web, Round: 1, Health: agreed}
				if i < failing {
					if rapid.Bool().Draw(rt, "silent") {
						events = append(events, "silent minority")
						continue
					}
					v.Health = anyHealth.Draw(rt, "said")
					events = append(events, "lying minority")
				}
				votes = append(votes, v)
			}
			coverage(append(events, "agreed "+agreed.String())...)
			if got := tally(q, web, votes); got.Health != agreed {
				return differ(q, votes, got, "%d of %d say %s", n-failing, n, agreed)
			}
			return nil
		}
	}
}

// For, Against and Missing are the vantages, each once, in order.
func partition(tally tally) regionstest.Find {
	return func(rt *rapid.T) error {
		q := drawQuorum(rt)
		votes := drawVotes(rt, q)
		got := tally(q, web, votes)
		for _, part := range [][]Name{got.For, got.Against, got.Missing} {
			if !slices.IsSorted(part) {
				return differ(q, votes, got, "%s is not in order", part)
			}
		}
		all := slices.Sorted(slices.Values(slices.Concat(got.For, got.Against, got.Missing)))
		if !slices.Equal(all, q.Vantages) {
			return differ(q, votes, got, "the parts make %s", joined(all))
		}
		if got.Health == checks.Unknown && len(got.For) > 0 || got.Health != checks.Unknown && len(got.For) < q.Need {
			return differ(q, votes, got, "%d votes are for it", len(got.For))
		}
		return nil
	}
}

// sameAsTwin compares with the deliberately dumb twin.
func sameAsTwin(tally tally) regionstest.Find {
	return func(rt *rapid.T) error {
		q := drawQuorum(rt)
		votes := drawVotes(rt, q)
		got, want := tally(q, web, votes), dumbTally(q, web, votes)
		if asJSON(got) != asJSON(want) {
			return differ(q, votes, got, "the dumb twin says %s", asJSON(want))
		}
		return nil
	}
}

// dumbTally looks for Need vantages that together make the verdict, among all
// sets of vantages that there are.
func dumbTally(q Quorum, endpoint EndpointID, votes []Vote) Verdict {
	says := func(name Name) checks.Health {
		for round := uint64(9); round > 0; round-- {
			for _, h := range []checks.Health{checks.Unknown, checks.Down, checks.Degraded, checks.Up} {
				if slices.Contains(votes, Vote{Vantage: name, Endpoint: endpoint, Health: h, Round: round}) {
					return h
				}
			}
		}
		return checks.Unknown
	}
	agree := func(what ...checks.Health) bool {
		for set := range 1 << len(q.Vantages) {
			size, all := 0, true
			for i, name := range q.Vantages {
				if set&(1<<i) != 0 {
					size++
					all = all && slices.Contains(what, says(name))
				}
			}
			if size == q.Need && all {
				return true
			}
		}
		return false
	}
	v := Verdict{Endpoint: endpoint, Need: q.Need}
	voters := 0
	for _, name := range q.Vantages {
		if says(name) != checks.Unknown {
			voters++
		}
		if says(name) == checks.Down {
			v.Doubted++
		}
	}
	var support []checks.Health
	switch {
	case voters < q.MinVoters:
	case agree(checks.Down):
		v.Health, support = checks.Down, []checks.Health{checks.Down}
	case agree(checks.Down, checks.Degraded):
		v.Health, support = checks.Degraded, []checks.Health{checks.Down, checks.Degraded}
	case agree(checks.Degraded, checks.Up):
		v.Health, support = checks.Up, []checks.Health{checks.Degraded, checks.Up}
	}
	for _, name := range q.Vantages {
		switch h := says(name); {
		case h == checks.Unknown:
			v.Missing = append(v.Missing, name)
		case slices.Contains(support, h):
			v.For = append(v.For, name)
		default:
			v.Against = append(v.Against, name)
		}
	}
	return v
}

func uncounted(...string) {}

func TestTallyProperties(t *testing.T) {
	t.Run("order", func(t *testing.T) { regionstest.Holds(t, orderMatters(Quorum.Tally)) })
	t.Run("unknown", func(t *testing.T) { regionstest.Holds(t, unknownCounts(Quorum.Tally)) })
	t.Run("minority", func(t *testing.T) {
		c := regionstest.NewCoverage(t, "silent minority", "lying minority", "agreed down", "agreed degraded", "agreed up")
		regionstest.Holds(t, minorityDecides(c.Run)(Quorum.Tally))
	})
	t.Run("partition", func(t *testing.T) { regionstest.Holds(t, partition(Quorum.Tally)) })
	t.Run("twin", func(t *testing.T) { regionstest.Holds(t, sameAsTwin(Quorum.Tally)) })
}
