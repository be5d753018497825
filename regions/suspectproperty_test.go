package regions

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions/regionstest"
)

// doubter is SelfSuspect, or a broken twin of it.
type doubter func(ballots []Ballot, listed []Name) []Ballot

// suspectProperty makes a Find that checks a doubter.
type suspectProperty func(doubter) regionstest.Find

// world is what the vantages say, some of which fail.
type world struct {
	listed  []Name
	failing int // the first so many of listed
	truth   []checks.Health
	ballots []Ballot
}

// drawWorld draws a truth, the ballots of those that see it, and whatever the
// failing minority says, if anything: all down is what a vantage says that was
// cut off.
func drawWorld(rt *rapid.T, coverage func(...string)) world {
	var w world
	for i := range rapid.SampledFrom([]int{5, 7, 3, 6, 4, 2, 1}).Draw(rt, "vantages") {
		w.listed = append(w.listed, Name(rune('a'+i)))
	}
	n := len(w.listed)
	w.failing = (n - 1) / 2
	if rapid.IntRange(0, 3).Draw(rt, "fewer fail") == 0 {
		w.failing = rapid.IntRange(0, w.failing).Draw(rt, "failing")
	}
	mood := rapid.SampledFrom([]checks.Health{checks.Up, checks.Down, checks.Unknown}).Draw(rt, "mood")
	for range rapid.IntRange(1, 12).Draw(rt, "endpoints") {
		h := mood
		if mood == checks.Unknown {
			h = rapid.SampledFrom([]checks.Health{checks.Up, checks.Down, checks.Degraded}).Draw(rt, "truth")
		}
		w.truth = append(w.truth, h)
	}
	var events []string
	for i, name := range w.listed {
		b := Ballot{Vantage: name}
		way := "sees"
		if i < w.failing {
			way = rapid.SampledFrom([]string{"lies", "silent", "lies up", "doubts", "cut off"}).Draw(rt, "way")
		}
		if i < w.failing {
			events = append(events, way)
		}
		if way == "silent" {
			continue
		}
		b.Suspect = way == "doubts"
		for e, h := range w.truth {
			switch way {
			case "cut off":
				h = checks.Down
			case "lies up":
				h = checks.Up
			case "lies":
				h = anyHealth.Draw(rt, "lie")
			}
			b.Votes = append(b.Votes, Vote{Vantage: name, Endpoint: EndpointID(fmt.Sprintf("e%d", e)), Health: h, Round: 1})
		}
		w.ballots = append(w.ballots, b)
	}
	if mood == checks.Down {
		events = append(events, "all-down")
	}
	coverage(events...)
	return w
}

func (w world) String() string {
	text := fmt.Sprintf("of %s, where the first %d fail and the truth is %v:", joined(w.listed), w.failing, w.truth)
	for _, b := range w.ballots {
		text += fmt.Sprintf(" %s", b.Vantage)
		if b.Suspect {
			text += "!"
		}
		var said []checks.Health
		for _, v := range b.Votes {
			said = append(said, v.Health)
		}
		text += fmt.Sprintf(" says %v", said)
	}
	return text
}

// suspicionDecides is property 3: with a failing minority, and the others of
// one mind, the verdicts are theirs, and none of them is suspect.
func suspicionDecides(coverage func(...string)) suspectProperty {
	return func(doubt doubter) regionstest.Find {
		return func(rt *rapid.T) error {
			w := drawWorld(rt, coverage)
			q := Quorum{Vantages: w.listed, Need: len(w.listed)/2 + 1, MinVoters: DefaultMinVoters(len(w.listed))}
			marked := doubt(w.ballots, w.listed)
			for _, name := range suspects(marked) {
				if slices.Index(w.listed, name) >= w.failing {
					return fmt.Errorf("%s: %s is suspect, which sees the truth", w, name)
				}
			}
			votes := counted(marked)
			for e, h := range w.truth {
				if got := q.Tally(EndpointID(fmt.Sprintf("e%d", e)), votes); got.Health != h {
					return fmt.Errorf("%s: the verdict on endpoint %d is %s", w, e, got.Health)
				}
			}
			return nil
		}
	}
}

// drawBallots draws ballots that follow no truth.
func drawBallots(rt *rapid.T) (listed []Name, ballots []Ballot) {
	n := rapid.IntRange(1, 5).Draw(rt, "vantages")
	endpoints := rapid.IntRange(1, 12).Draw(rt, "endpoints")
	for i := range n {
		name := Name(rune('a' + i))
		if i == 0 || rapid.IntRange(0, 9).Draw(rt, "is listed") > 0 {
			listed = append(listed, name)
		}
		b := Ballot{Vantage: name, Suspect: rapid.IntRange(0, 9).Draw(rt, "doubts") == 0}
		usual := rapid.SampledFrom([]checks.Health{checks.Down, checks.Up, checks.Degraded, checks.Unknown}).Draw(rt, "usual")
		for e := range endpoints {
			h := usual
			if rapid.IntRange(0, 9).Draw(rt, "is unusual") == 0 {
				h = anyHealth.Draw(rt, "health")
			}
			b.Votes = append(b.Votes, Vote{Vantage: name, Endpoint: EndpointID(fmt.Sprintf("e%d", e)), Health: h, Round: 1})
		}
		ballots = append(ballots, b)
	}
	return listed, ballots
}

// suspicionIsStable: the order of ballots, votes and names does not matter, a
// second look finds no more, marks are only added, and a suspect says nearly
// everything down that more than half of the listed others contradict.
func suspicionIsStable(doubt doubter) regionstest.Find {
	return func(rt *rapid.T) error {
		listed, ballots := drawBallots(rt)
		before := asJSON(ballots)
		marked := doubt(ballots, listed)
		if asJSON(ballots) != before {
			return fmt.Errorf("the argument %s became %s", before, asJSON(ballots))
		}
		if again := doubt(marked, listed); asJSON(again) != asJSON(marked) {
			return fmt.Errorf("%s: a second look marks %s, the first %s", before, suspects(again), suspects(marked))
		}
		mixed := rapid.Permutation(ballots).Draw(rt, "ballots")
		for i := range mixed {
			mixed[i].Votes = rapid.Permutation(mixed[i].Votes).Draw(rt, "votes")
		}
		names := rapid.Permutation(slices.Concat(listed, listed)).Draw(rt, "listed")
		if other := suspects(doubt(mixed, names)); !slices.Equal(other, suspects(marked)) {
			return fmt.Errorf("%s: it marks %s, in another order %s", before, suspects(marked), other)
		}
		for i, b := range ballots {
			if b.Suspect && !marked[i].Suspect {
				return fmt.Errorf("%s: %s no longer doubts itself", before, b.Vantage)
			}
			if want := b.Suspect || deservesDoubt(b, ballots, listed); marked[i].Suspect != want {
				return fmt.Errorf("%s: %s is suspect: %v, expected %v", before, b.Vantage, marked[i].Suspect, want)
			}
		}
		return nil
	}
}

// deservesDoubt is the rule said in the dumbest way.
func deservesDoubt(b Ballot, ballots []Ballot, listed []Name) bool {
	share := func(b Ballot) (down, said float64) {
		for _, v := range b.Votes {
			if v.Health == checks.Down {
				down++
			}
			if v.Health != checks.Unknown {
				said++
			}
		}
		return down, said
	}
	nearlyDown := func(b Ballot) bool {
		down, said := share(b)
		return down >= 2 && down/said >= 0.9
	}
	against := 0.0
	for _, w := range ballots {
		if w.Suspect || nearlyDown(w) || !slices.Contains(listed, w.Vantage) {
			continue
		}
		sees := false
		for _, v := range b.Votes {
			for _, x := range w.Votes {
				sees = sees || v.Health == checks.Down && x.Endpoint == v.Endpoint && (x.Health == checks.Up || x.Health == checks.Degraded)
			}
		}
		if sees {
			against++
		}
	}
	return slices.Contains(listed, b.Vantage) && nearlyDown(b) && against >= 2 && against > float64(len(listed))/2
}

func TestSelfSuspectProperties(t *testing.T) {
	t.Run("minority", func(t *testing.T) {
		c := regionstest.NewCoverage(t, "silent", "cut off", "lies up", "lies", "doubts", "all-down")
		regionstest.Holds(t, suspicionDecides(c.Run)(SelfSuspect))
	})
	t.Run("stable", func(t *testing.T) { regionstest.Holds(t, suspicionIsStable(SelfSuspect)) })
}

type suspectMutant struct {
	name     string
	property suspectProperty
	twin     doubter
}

func suspectMutants() []suspectMutant {
	return []suspectMutant{
		{"property 3: two witnesses are enough of any number", suspicionDecides(uncounted), twoWitnesses},
		{"property 3: whoever sees everything down is suspect", suspicionDecides(uncounted), allDownIsSuspect},
		{"suspicion: whoever sees nearly everything down bears witness", suspicionIsStable, suspectsWitness},
		{"suspicion: a mark is taken back", suspicionIsStable, takesBack},
		{"suspicion: the argument is changed", suspicionIsStable, inPlace},
	}
}

// twoWitnesses lists the vantages as if they were three.
func twoWitnesses(ballots []Ballot, listed []Name) []Ballot {
	marked := slices.Clone(ballots)
	for i, b := range ballots {
		var with []Ballot
		for j, w := range ballots {
			if i != j && !nearlyAllDown(w.Votes) && !w.Suspect {
				with = append(with, w)
			}
		}
		for j := 1; j < len(with) && !marked[i].Suspect; j++ {
			three := []Ballot{b, with[j-1], with[j]}
			marked[i] = SelfSuspect(three, []Name{b.Vantage, with[j-1].Vantage, with[j].Vantage})[0]
		}
	}
	return marked
}

func allDownIsSuspect(ballots []Ballot, _ []Name) []Ballot {
	marked := slices.Clone(ballots)
	for i, b := range marked {
		marked[i].Suspect = b.Suspect || nearlyAllDown(b.Votes)
	}
	return marked
}

// suspectsWitness takes the down votes of the witnesses away, so that none is
// nearly all down itself.
func suspectsWitness(ballots []Ballot, listed []Name) []Ballot {
	marked := slices.Clone(ballots)
	for i := range ballots {
		others := slices.Clone(ballots)
		for j := range others {
			if j != i {
				isDown := func(v Vote) bool { return v.Health == checks.Down }
				others[j].Votes = slices.DeleteFunc(slices.Clone(others[j].Votes), isDown)
			}
		}
		marked[i] = SelfSuspect(others, listed)[i]
	}
	return marked
}

func takesBack(ballots []Ballot, listed []Name) []Ballot {
	marked := slices.Clone(ballots)
	for i := range marked {
		marked[i].Suspect = false
	}
	return SelfSuspect(marked, listed)
}

func inPlace(ballots []Ballot, listed []Name) []Ballot {
	copy(ballots, SelfSuspect(ballots, listed))
	return ballots
}
