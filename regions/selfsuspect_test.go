package regions

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestSelfSuspect runs the tables of testdata/selfsuspect. A line is a
// vantage's ballot, "name!" one that doubts itself already. The output names
// the suspects.
func TestSelfSuspect(t *testing.T) {
	datadriven.RunTest(t, "testdata/selfsuspect/table.txt", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd != "suspect" {
			d.Fatalf(t, "unknown command %q", d.Cmd)
		}
		var listed []Name
		for _, name := range d.CmdArgs[0].Vals {
			listed = append(listed, Name(name))
		}
		var ballots []Ballot
		for line := range strings.Lines(d.Input) {
			ballots = append(ballots, ballotOf(t, d, line))
		}
		before := asJSON(ballots)
		var out strings.Builder
		for _, b := range SelfSuspect(ballots, listed) {
			if b.Suspect {
				fmt.Fprintf(&out, "%s: %s\n", b.Vantage, b.Why)
			}
		}
		if asJSON(ballots) != before {
			t.Errorf("the argument was changed: %s", asJSON(ballots))
		}
		if out.Len() == 0 {
			return "nobody\n"
		}
		return out.String()
	})
}

func ballotOf(t *testing.T, d *datadriven.TestData, line string) Ballot {
	t.Helper()
	name, votes, _ := strings.Cut(strings.TrimSpace(line), ":")
	name, doubts := strings.CutSuffix(name, "!")
	b := Ballot{Vantage: Name(name), Suspect: doubts}
	if doubts {
		b.Why = "its references fail"
	}
	for word := range strings.FieldsSeq(votes) {
		id, health, _ := strings.Cut(word, "=")
		v := Vote{Vantage: b.Vantage, Endpoint: EndpointID(id), Round: 1}
		if err := v.Health.UnmarshalText([]byte(health)); err != nil {
			d.Fatalf(t, "%q: %v", word, err)
		}
		b.Votes = append(b.Votes, v)
	}
	return b
}

// counted returns the votes that count: all but those of suspects.
func counted(ballots []Ballot) (votes []Vote) {
	for _, b := range ballots {
		if !b.Suspect {
			votes = append(votes, b.Votes...)
		}
	}
	return votes
}

// suspects returns the names of those that doubt themselves, sorted.
func suspects(ballots []Ballot) (names []Name) {
	for _, b := range ballots {
		if b.Suspect {
			names = append(names, b.Vantage)
		}
	}
	slices.Sort(names)
	return names
}
