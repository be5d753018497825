package regions

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/veerdns/veer/checks"
)

const web EndpointID = "web@192.0.2.10"

// TestTally runs the truth tables of testdata/quorum. The command
//
//	tally vantages=(a,b,c) need=majority [min_voters=N]
//
// has a row a line: what each vantage says, in order; "unknown" is a vote that
// says so, "-" is none. The output repeats the row with the verdict, those for,
// against and missing, and "split" where the votes are.
//
// Every row is checked in every way that must not matter: the votes shuffled
// and repeated, with older votes, votes of strangers and of other endpoints
// among them, and the vantages in any order.
func TestTally(t *testing.T) {
	datadriven.Walk(t, "testdata/quorum", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "tally":
				return tallyRows(t, d)
			case "need":
				return needRows(d)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func tallyRows(t *testing.T, d *datadriven.TestData) string {
	var q Quorum
	for _, arg := range d.CmdArgs {
		if arg.Key == "vantages" {
			for _, name := range arg.Vals {
				q.Vantages = append(q.Vantages, Name(name))
			}
		}
	}
	need := "majority"
	d.MaybeScanArgs(t, "need", &need)
	var err error
	if q.Need, err = ParseNeed(need, len(q.Vantages)); err != nil {
		d.Fatalf(t, "%v", err)
	}
	q.MinVoters = DefaultMinVoters(len(q.Vantages))
	d.MaybeScanArgs(t, "min_voters", &q.MinVoters)
	var out strings.Builder
	for row := range strings.Lines(d.Input) {
		votes := rowVotes(t, d, q, strings.Fields(row))
		v := q.Tally(web, votes)
		symmetric(t, q, votes, v)
		line := strings.TrimSpace(row) + " => " + v.Health.String()
		for _, part := range []struct {
			word  string
			names []Name
		}{{"for", v.For}, {"against", v.Against}, {"missing", v.Missing}} {
			if len(part.names) > 0 {
				line += fmt.Sprintf(" %s %s", part.word, joined(part.names))
			}
		}
		if v.Split() {
			line += " (split)"
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

func joined(names []Name) string {
	var s []string
	for _, n := range names {
		s = append(s, string(n))
	}
	return strings.Join(s, ",")
}

func rowVotes(t *testing.T, d *datadriven.TestData, q Quorum, words []string) (votes []Vote) {
	t.Helper()
	if len(words) != len(q.Vantages) {
		d.Fatalf(t, "row %q: expected %d words", words, len(q.Vantages))
	}
	for i, word := range words {
		if word == "-" {
			continue
		}
		v := Vote{Vantage: q.Vantages[i], Endpoint: web, Round: 7}
		if err := v.Health.UnmarshalText([]byte(word)); err != nil {
			d.Fatalf(t, "%v", err)
		}
		votes = append(votes, v)
	}
	return votes
}

// symmetric fails when something that must not matter does.
func symmetric(t *testing.T, q Quorum, votes []Vote, want Verdict) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(len(votes))))
	healths := []checks.Health{checks.Unknown, checks.Down, checks.Degraded, checks.Up}
	for range 20 {
		noisy := slices.Concat(votes, votes)
		for _, h := range healths {
			noisy = append(noisy,
				Vote{Vantage: "stranger", Endpoint: web, Health: h, Round: 9},
				Vote{Vantage: q.Vantages[0], Endpoint: "web@192.0.2.99", Health: h, Round: 9})
			for _, v := range votes {
				v.Health, v.Round = h, v.Round-1
				noisy = append(noisy, v)
			}
		}
		shuffled := q
		shuffled.Vantages = slices.Concat(q.Vantages, q.Vantages[:1])
		random.Shuffle(len(noisy), func(i, j int) { noisy[i], noisy[j] = noisy[j], noisy[i] })
		random.Shuffle(len(shuffled.Vantages), func(i, j int) {
			shuffled.Vantages[i], shuffled.Vantages[j] = shuffled.Vantages[j], shuffled.Vantages[i]
		})
		if got := shuffled.Tally(web, noisy); asJSON(got) != asJSON(want) {
			t.Fatalf("shuffled, with noise: %s\nplain: %s\nvotes %v", asJSON(got), asJSON(want), votes)
		}
	}
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// needRows is the command "need": a row is a number of vantages and a need.
func needRows(d *datadriven.TestData) string {
	var out strings.Builder
	for row := range strings.Lines(d.Input) {
		row = strings.TrimSuffix(row, "\n")
		var n int
		count, text, _ := strings.Cut(row, " ")
		if _, err := fmt.Sscan(count, &n); err != nil {
			return err.Error()
		}
		need, err := ParseNeed(strings.Trim(text, `"`), n)
		if err != nil {
			fmt.Fprintf(&out, "%s => error: %v\n", row, err)
			continue
		}
		fmt.Fprintf(&out, "%s => %d, min_voters %d\n", row, need, DefaultMinVoters(n))
	}
	return out.String()
}

func FuzzParseNeed(f *testing.F) {
	for _, text := range []string{
		"", "majority", "all", "any", "1", "2", "3", "0", "4", "-1", "+1", "01", "1%", "50%", "60%", "67%",
		"100%", "101%", "0%", "%", "%%", "6 0%", "1.5", "most", "99999999999999999999", "9223372036854775807%",
	} {
		f.Add(text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 1 || n > 1000 {
			n = 3
		}
		need, err := ParseNeed(text, n)
		if err != nil {
			if need != 0 {
				t.Errorf("%q of %d: need %d beside the error %v", text, n, need, err)
			}
			return
		}
		if need < 1 || need > n {
			t.Errorf("%q of %d: need %d", text, n, need)
		}
		again, err := ParseNeed(fmt.Sprint(need), n)
		if err != nil || again != need {
			t.Errorf("%q of %d is %d, which reads back as %d, %v", text, n, need, again, err)
		}
	})
}
