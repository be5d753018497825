package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// spread is a distribution of durations.
type spread struct{ min, median, p90, max time.Duration }

// spreadOf sorts a copy; the median of an even number is the mean of the two
// in the middle, p90 the nearest rank.
func spreadOf(d []time.Duration) spread {
	s := slices.Sorted(slices.Values(d))
	n := len(s)
	if n == 0 {
		return spread{}
	}
	return spread{s[0], (s[(n-1)/2] + s[n/2]) / 2, s[(n*9+9)/10-1], s[n-1]}
}

// bound is what a distribution must keep.
type bound struct {
	server        string
	kind          kind
	median, worst time.Duration
}

func bounds() []bound {
	return []bound{
		{"veer", killed, 500 * time.Millisecond, 1300 * time.Millisecond},
		{"veer watch", killed, 150 * time.Millisecond, 300 * time.Millisecond},
		{"veer", hung, 1750 * time.Millisecond, 2400 * time.Millisecond},
	}
}

// window is where a peer's median must be; outside, the machine or the peer's
// configuration is not what the comparison needs, and the run is void.
type window struct {
	server   string
	from, to time.Duration
}

func windows() []window {
	return []window{
		{"gdnsd", 1200 * time.Millisecond, 2200 * time.Millisecond},
		{"PowerDNS", 200 * time.Millisecond, 800 * time.Millisecond},
	}
}

// report prints a run's tables and judges it.
type report struct {
	out     io.Writer
	servers []*server
	rounds  []round
	counts  []lab.Counts
}

func (r *report) pick(server int, k kind, back bool) []time.Duration {
	var out []time.Duration
	for _, one := range r.rounds {
		switch {
		case one.kind != k:
		case back:
			out = append(out, one.back[server])
		default:
			out = append(out, one.away[server])
		}
	}
	return out
}

func seconds(d time.Duration) string {
	if d >= limit {
		return "never"
	}
	return fmt.Sprintf("%.3f", d.Seconds())
}

func (r *report) tables() {
	for _, k := range []kind{killed, hung} {
		for _, back := range []bool{false, true} {
			fmt.Fprintf(r.out, "\n%s\n", heading(k, back))
			fmt.Fprintf(r.out, "  %-11s %8s %8s %8s %8s   repeats\n", "server", "min", "median", "p90", "max")
			for i, s := range r.servers {
				all := r.pick(i, k, back)
				d := spreadOf(all)
				fmt.Fprintf(r.out, "  %-11s %8s %8s %8s %8s   %d\n", s.name, seconds(d.min), seconds(d.median), seconds(d.p90), seconds(d.max), len(all))
			}
		}
	}
	fmt.Fprintf(r.out, "\nQueries, one every 10 ms to each server from the first answer to the end\n")
	fmt.Fprintf(r.out, "  %-11s %8s %8s %10s %8s %8s %12s %6s\n", "server", "sent", "answered", "unanswered", "empty", "failed", "slowest (s)", "flaps")
	for i, s := range r.servers {
		c := r.counts[i]
		fmt.Fprintf(r.out, "  %-11s %8d %8d %10d %8d %8d %12s %6d\n", s.name, c.Sent, c.Answered, c.Unanswered, c.Empty, c.Failed, seconds(c.Slowest), r.flaps(i))
	}
}

// flaps counts the changes of the answer beyond one away and one back a round.
func (r *report) flaps(server int) int {
	n := 0
	for _, one := range r.rounds {
		n += max(0, one.moves[server]-2)
	}
	return n
}

func heading(k kind, back bool) string {
	switch {
	case k == killed && !back:
		return "Killed (SIGKILL; connections refused): seconds to the first changed answer"
	case k == killed:
		return "Killed, started again: seconds from listening to the first answer with it"
	case !back:
		return "Hung (SIGSTOP; connections open, no answer): seconds to the first changed answer"
	default:
		return "Hung, continued: seconds from SIGCONT to the first answer with it"
	}
}

// raw prints every value, so that another statistic can be had.
func (r *report) raw() {
	fmt.Fprintf(r.out, "\nEvery repeat, in order (seconds; one failure is the same event for all servers)\n")
	fmt.Fprintf(r.out, "  %-4s %-6s", "", "")
	for _, s := range r.servers {
		fmt.Fprintf(r.out, " | %-15s", s.name)
	}
	fmt.Fprintf(r.out, "\n  %-4s %-6s%s\n", "#", "case", strings.Repeat(" | away     back  ", len(r.servers)))
	for n, one := range r.rounds {
		fmt.Fprintf(r.out, "  %-4d %-6s", n+1, one.kind)
		for i := range r.servers {
			fmt.Fprintf(r.out, " | %-7s %7s", seconds(one.away[i]), seconds(one.back[i]))
		}
		fmt.Fprintln(r.out)
	}
}

// judge prints a line for each rule and returns whether the run counts and
// whether it passed.
func (r *report) judge() (valid, passed bool) {
	fmt.Fprintln(r.out)
	valid, passed = true, true
	for _, w := range windows() {
		i := r.index(w.server)
		if i < 0 {
			continue
		}
		m := spreadOf(r.pick(i, killed, false)).median
		ok := m >= w.from && m <= w.to
		valid = valid && ok
		r.line(ok, "VOID", "%s killed: median %s s, must be %s to %s s for the run to count", w.server, seconds(m), seconds(w.from), seconds(w.to))
	}
	for _, b := range bounds() {
		i := r.index(b.server)
		if i < 0 {
			continue
		}
		d := spreadOf(r.pick(i, b.kind, false))
		ok := d.median <= b.median && d.max <= b.worst
		passed = passed && ok
		r.line(ok, "FAIL", "%s %s: median %s s (at most %s), worst %s s (at most %s)", b.server, b.kind,
			seconds(d.median), seconds(b.median), seconds(d.max), seconds(b.worst))
	}
	for i, s := range r.servers {
		if !s.ours {
			continue
		}
		c := r.counts[i]
		ok := c.Sent > 0 && c.Answered == c.Sent
		passed = passed && ok
		r.line(ok, "FAIL", "%s: %d of %d queries answered with an address; %d unanswered, %d empty, %d failed (each at most 0)",
			s.name, c.Answered, c.Sent, c.Unanswered, c.Empty, c.Failed)
		never := 0
		for _, one := range r.rounds {
			if one.back[i] >= limit {
				never++
			}
		}
		passed = passed && never == 0 && r.flaps(i) == 0
		r.line(never == 0 && r.flaps(i) == 0, "FAIL", "%s: traffic returned after %d of %d failures; %d flaps (at most 0)",
			s.name, len(r.rounds)-never, len(r.rounds), r.flaps(i))
	}
	return valid, passed
}

func (r *report) index(name string) int {
	return slices.IndexFunc(r.servers, func(s *server) bool { return s.name == name })
}

func (r *report) line(ok bool, bad, format string, args ...any) {
	word := "PASS"
	if !ok {
		word = bad
	}
	fmt.Fprintf(r.out, word+"  "+format+"\n", args...)
}
