//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

func failoverHead(out io.Writer, b *bench, full measured, repeats int) {
	fmt.Fprintf(out, "Failovers under load: one Veer with all its roles on CPU %d, the generator on CPU %d, on loopback\n\n", b.o.serverCPU, b.o.loadCPU)
	fmt.Fprintf(out, "  date     %s; load of the machine %s\n", time.Now().UTC().Format(time.DateOnly), lab.Load())
	fmt.Fprintf(out, "  moves    a service of %d addresses, all of which change at once: %d failovers (an endpoint's port closes) and %d returns at each load\n", len(homeAddresses), repeats, repeats)
	fmt.Fprintf(out, "  mix      every second query is for the service, the others are those of bench-dns\n")
	fmt.Fprintf(out, "  loads    saturation: %d queries in flight, %.0f answers/s measured, %.1f %% busy; half of that at random moments, whatever the answers do\n", b.o.window, full.tally.perSecond(), 100*full.busy())
	fmt.Fprintf(out, "  commit   is not seen from outside: the leader has etcd's reply after it. So times begin with the decision, which comes before it (the log's\n")
	fmt.Fprintf(out, "           line less its committed_ms): deciding and committing are in them. The ledger is kept in memory, since a disk's time is no part of this\n")
	fmt.Fprintf(out, "  old      the last answer with an old address, when it is received; by this machine's monotonic clock\n")
	fmt.Fprintf(out, "  lost     a query without an answer. No more queries are in flight at saturation than the server's socket has room for, so that none is lost\n")
	fmt.Fprintf(out, "           by overload; what the system dropped at either socket is told beside\n\n")
}

// report prints the measurement and its bounds, and returns whether they were
// kept.
func (m moved) report(out io.Writer) bool {
	took, t := m.took(), m.tally
	var reply, commits []time.Duration
	for _, v := range m.moves {
		reply, commits = append(reply, v.reply()), append(commits, v.committed-v.decided)
	}
	fmt.Fprintf(out, "%s: %.0f answers/s, CPU %.0f %% busy, %d queries, latency p50 %s, p99 %s, longest %s\n", m.name, t.perSecond(), 100*m.busy, t.sent,
		ms(t.latency.quantile(0.5)), ms(t.latency.quantile(0.99)), ms(t.latency.quantile(1)))
	fmt.Fprintf(out, "      to the last old answer: p50 %s, worst %s of %d; from etcd's reply to the leader: p50 %s, worst %s; from decision to reply: p50 %s, worst %s\n",
		ms(middle(took)), ms(longest(took)), len(took), ms(middle(reply)), ms(longest(reply)), ms(middle(commits)), ms(longest(commits)))
	if m.order != "" {
		fmt.Fprintf(out, "      the server %s\n", m.order)
	}
	passed := true
	check := func(good bool, format string, args ...any) {
		word := "PASS"
		if !good {
			word, passed = "FAIL", false
		}
		fmt.Fprintf(out, "%s  %s: %s\n", word, m.name, fmt.Sprintf(format, args...))
	}
	if m.saturated {
		check(m.busy >= leastBusy, "the server was busy for %.1f %% of the time (at least %.0f, otherwise the generator was measured)", 100*m.busy, 100*leastBusy)
	}
	check(t.lost == 0 && t.sent > 0, "%d of %d queries without an answer (at most 0); the system dropped %d packets", t.lost, t.sent, m.drops)
	check(m.mixed == 0, "%d answers from a mixture of old and new (at most 0)", m.mixed)
	check(m.stale == 0, "%d old answers later than %s after the others (at most 0)", m.stale, settled)
	check(t.wrong == m.mixed && t.truncated == 0, "%d answers that are wrong otherwise (at most 0)%s", t.wrong+t.truncated-m.mixed, firstOf(t))
	check(len(m.moves) > 0 && longest(took) <= m.latest, "at most %s from commit to the last old answer (at most %s)", ms(longest(took)), ms(m.latest))
	return passed
}

// took is how long each move took.
func (m moved) took() []time.Duration {
	var out []time.Duration
	for _, v := range m.moves {
		out = append(out, v.most())
	}
	return out
}

func firstOf(t *tally) string {
	if t.firstWrong == "" {
		return ""
	}
	return "; the first: " + t.firstWrong
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/1e6) }

func middle(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

func longest(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	return slices.Max(of)
}
