package regions

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/veerdns/veer/checks"
)

// Quorum is the rule by which votes make a verdict. The denominator is the
// vantages that the config lists, never the live ones: a missing, stale or
// self-suspect vote is neither for nor against.
type Quorum struct {
	// Vantages are the configured voters; votes of others do not count.
	Vantages []Name `json:"vantages"`
	// Need is how many votes decide.
	Need int `json:"need"`
	// MinVoters is how many vantages must have said anything but unknown
	// before the verdict is anything but unknown.
	MinVoters int `json:"min_voters"`
}

// ParseNeed reads the config's `need`: "majority" (floor(n/2)+1), "all",
// "any", a percentage (rounded up) or a count, out of n vantages.
func ParseNeed(text string, n int) (int, error) {
	switch text {
	case "", "majority":
		return n/2 + 1, nil
	case "all":
		return n, nil
	case "any":
		return 1, nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	v, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(v) != digits {
		return 0, fmt.Errorf("need %q: expected majority, all, any, a count like 2 or a percentage like 60%%", text)
	}
	if percent {
		if v < 1 || v > 100 {
			return 0, fmt.Errorf("need %q: a percentage must be from 1%% to 100%%", text)
		}
		return (v*n + 99) / 100, nil
	}
	if v < 1 || v > n {
		return 0, fmt.Errorf("need %q: a count must be from 1 to the number of vantages, %d", text, n)
	}
	return v, nil
}

// DefaultMinVoters is min(2, n).
func DefaultMinVoters(n int) int { return min(2, n) }

// Verdict is what the regions agree on for one endpoint. For, Against and
// Missing are sorted and disjoint, and together they are the quorum's
// vantages: those whose vote supports Health, those whose vote does not, and
// those that said nothing that counts. For an unknown verdict no vote is For.
type Verdict struct {
	Endpoint EndpointID    `json:"endpoint"`
	Health   checks.Health `json:"health"`
	Need     int           `json:"need"`
	For      []Name        `json:"for,omitempty"`
	Against  []Name        `json:"against,omitempty"`
	Missing  []Name        `json:"missing,omitempty"`
	// Doubted is how many vantages say down.
	Doubted int `json:"doubted,omitempty"`
}

// Split reports whether the vantages that voted do not agree, so that another
// vote may soon make another verdict: some vote against the verdict, or say
// down where it is not; of an unknown verdict, some say down and others not.
func (v Verdict) Split() bool {
	if v.Health == checks.Unknown {
		return v.Doubted > 0 && v.Doubted < len(v.Against)
	}
	return len(v.Against) > 0 || v.Doubted > 0 && v.Health != checks.Down
}

// Tally makes the verdict on one endpoint from its votes, in any order. Votes
// of unlisted vantages or of another endpoint are ignored.
//
// Down if Need say down; else degraded if Need say degraded or worse; else up
// if Need say degraded or better; else unknown (DESIGN, "Quorum").
func (q Quorum) Tally(endpoint EndpointID, votes []Vote) Verdict {
	said := q.latest(endpoint, votes)
	v := Verdict{Endpoint: endpoint, Need: q.Need}
	v.Health = q.decide(said)
	for _, name := range q.sorted() {
		h := said[name]
		if h == checks.Down {
			v.Doubted++
		}
		switch {
		case h == checks.Unknown:
			v.Missing = append(v.Missing, name)
		case supports(h, v.Health):
			v.For = append(v.For, name)
		default:
			v.Against = append(v.Against, name)
		}
	}
	return v
}

func (q Quorum) decide(said map[Name]checks.Health) checks.Health {
	var down, degraded, up int
	for _, h := range said {
		switch h {
		case checks.Down:
			down++
		case checks.Degraded:
			degraded++
		case checks.Up:
			up++
		}
	}
	switch {
	case down+degraded+up < q.MinVoters || q.Need < 1:
		return checks.Unknown
	case down >= q.Need:
		return checks.Down
	case down+degraded >= q.Need:
		return checks.Degraded
	case degraded+up >= q.Need:
		return checks.Up
	}
	return checks.Unknown
}

// Without reports whether the vantages that are left when one is lost can
// still make a verdict, and how many they are (DESIGN, property 11).
func (q Quorum) Without(lost Name) (left int, decide bool) {
	for _, name := range q.sorted() {
		if name != lost {
			left++
		}
	}
	return left, left >= q.Need && left >= q.MinVoters
}

// supports reports whether a vote of h was counted towards verdict.
func supports(h, verdict checks.Health) bool {
	switch verdict {
	case checks.Down:
		return h == checks.Down
	case checks.Degraded:
		return h == checks.Down || h == checks.Degraded
	case checks.Up:
		return h == checks.Up || h == checks.Degraded
	}
	return false
}

// latest keeps each listed vantage's vote of the highest round; of two that
// differ in the same round, the one that knows less (then the worse) holds,
// so that the order of votes does not matter.
func (q Quorum) latest(endpoint EndpointID, votes []Vote) map[Name]checks.Health {
	rounds := make(map[Name]uint64, len(q.Vantages))
	said := make(map[Name]checks.Health, len(q.Vantages))
	for _, v := range votes {
		if v.Endpoint != endpoint || !slices.Contains(q.Vantages, v.Vantage) {
			continue
		}
		h, seen := said[v.Vantage]
		if !seen || v.Round > rounds[v.Vantage] || v.Round == rounds[v.Vantage] && v.Health < h {
			said[v.Vantage], rounds[v.Vantage] = v.Health, v.Round
		}
	}
	return said
}

// sorted returns the vantages in order, each once.
func (q Quorum) sorted() []Name {
	s := slices.Clone(q.Vantages)
	slices.Sort(s)
	return slices.Compact(s)
}
