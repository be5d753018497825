//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// mostOfNormal is how much longer honest queries may take during a flood, at the
// 99th percentile.
const mostOfNormal = 2.0

const (
	leastFlood   = 0.9 // of a flood's rate must be sent
	leastLimited = 0.3 // of a spoofed flood must be limited
	// mostLate is how late the generator may send without a flood, at the 99th
	// percentile, in microseconds: else normal is what the machine does to both.
	mostLate = 250.0
)

// floodHead says what is measured; notFirst: why the server waits for other work.
func floodHead(out io.Writer, b *bench, o floodOptions, notFirst error) {
	fmt.Fprintf(out, "Honest clients during floods: one Veer with all its roles on CPU %d, the generator of both on CPU %d, on loopback\n\n", o.serverCPU, o.loadCPU)
	fmt.Fprintf(out, "  date     %s; load of the machine %s\n", time.Now().UTC().Format(time.DateOnly), lab.Load())
	fmt.Fprintf(out, "  server   %s\n", orderOf(notFirst))
	fmt.Fprintf(out, "  honest   %.0f queries a second over UDP at random moments, of bench-dns' mix, from %d addresses, each in a /24 of its own\n", o.honest, len(b.sources))
	fmt.Fprintf(out, "  floods   %.0f packets a second at random moments: malformed ones, of which a tenth are responses, from %d addresses; or queries for ANY and for a large\n", o.flood, sourceAddresses+sourceAddresses/10)
	fmt.Fprintf(out, "           answer in the name of %d addresses, %d in each /24; or %d TCP clients that ask and do not read; or %d idle TCP connections\n", spoofedAddresses, hostsOfBlock, o.slow, o.idle)
	fmt.Fprintf(out, "  limits   rate limiting at its defaults, for clients on this host too\n")
	fmt.Fprintf(out, "  normal   the same honest load just before each flood; figures are medians of %d rounds, memory is the most of them\n", o.rounds)
	fmt.Fprintf(out, "  factor   bytes that go to a flood's sources to bytes that come from them, without IP and UDP headers\n\n")
}

// orderOf says whether the server runs first.
func orderOf(notFirst error) string {
	if notFirst == nil {
		return "runs before the machine's other work (SCHED_RR), so that what waits does not wait for that"
	}
	return fmt.Sprintf("waits for the machine's other work too, which is in the times: %v", notFirst)
}

// floodReport prints what was found and the bounds, and returns whether they were
// kept.
func floodReport(out io.Writer, all []*attack) bool {
	passed := true
	for _, a := range all {
		passed = a.report(out) && passed
	}
	fmt.Fprintf(out, "\nload of the machine at the end %s\n", lab.Load())
	return passed
}

func (a *attack) pick(value func(s *attacked) float64) float64 {
	var all []float64
	for i := range a.samples {
		all = append(all, value(&a.samples[i]))
	}
	return median(all)
}

func (a *attack) report(out io.Writer) bool {
	p99 := func(m measured) float64 { return micro(m.tally.latency.quantile(0.99)) }
	normal, under := a.pick(func(s *attacked) float64 { return p99(s.normal) }), a.pick(func(s *attacked) float64 { return p99(s.under) })
	late := a.pick(func(s *attacked) float64 { return micro(s.normal.tally.late.quantile(0.99)) })
	fmt.Fprintf(out, "%s: p50 %.1f us, p99 %.1f us; normal: p50 %.1f us, p99 %.1f us; the server was %.0f %% busy, normally %.0f %%; p99 of how late the generator sent %.1f us, normally %.1f us\n", a.name,
		a.pick(func(s *attacked) float64 { return micro(s.under.tally.latency.quantile(0.5)) }), under,
		a.pick(func(s *attacked) float64 { return micro(s.normal.tally.latency.quantile(0.5)) }), normal,
		100*a.pick(func(s *attacked) float64 { return s.under.busy() }), 100*a.pick(func(s *attacked) float64 { return s.normal.busy() }),
		a.pick(func(s *attacked) float64 { return micro(s.under.tally.late.quantile(0.99)) }), late)
	passed := true
	check := func(good bool, format string, args ...any) {
		word := "PASS"
		if !good {
			word, passed = "FAIL", false
		}
		fmt.Fprintf(out, "%s  %s: %s\n", word, a.name, fmt.Sprintf(format, args...))
	}
	check(normal > 0 && under <= mostOfNormal*normal, "%.2f times the normal p99 (at most %.1f)", under/normal, mostOfNormal)
	check(late <= mostLate, "the generator sent at most %.1f us late in the normal load, at p99 (at most %.0f, otherwise the machine was too busy to tell)", late, mostLate)
	var sent, lost, wrong uint64
	first := ""
	grown := uint64(0)
	for i := range a.samples {
		s := &a.samples[i]
		t := s.under.tally
		sent, lost, wrong = sent+t.sent, lost+t.lost, wrong+t.wrong+t.truncated
		if first == "" {
			first = firstOf(t)
		}
		grown = max(grown, s.after-min(s.after, s.before))
		if s.tcp != nil {
			first += "; over TCP: " + s.tcp.Error()
			wrong++
		}
	}
	check(sent > 0 && lost == 0 && wrong == 0, "%d of %d honest queries were lost, %d answered wrongly, and a new client over TCP was answered (at most 0)%s", lost, sent, wrong, first)
	check(grown <= a.room, "the server grew by %.1f MB (at most %.1f)", float64(grown)/1e6, float64(a.room)/1e6)
	a.judgeFloods(out, check)
	return passed
}

// judgeFloods tells what came of the floods themselves.
func (a *attack) judgeFloods(out io.Writer, check func(bool, string, ...any)) {
	last := a.samples[len(a.samples)-1].floods
	for i, one := range last.all {
		sum, slowest := flood{}, one.perSecond()
		for j := range a.samples {
			f := a.samples[j].floods.all[i]
			slowest = min(slowest, f.perSecond())
			sum.sent, sum.bytes, sum.answers, sum.answered = sum.sent+f.sent, sum.bytes+f.bytes, sum.answers+f.answers, sum.answered+f.answered
			sum.cut += f.cut
		}
		fmt.Fprintf(out, "      %s: %d sent, %d answered, %d of them cut; amplification factor %.2f\n", one.name, sum.sent, sum.answers, sum.cut, sum.amplification())
		check(slowest >= leastFlood*one.rate, "%.0f %s a second were sent (at least %.0f %% of %.0f, otherwise the generator had no time)", slowest, one.name, 100*leastFlood, one.rate)
		switch {
		case one.forbidden:
			check(sum.answers == 0, "%d %s were answered (at most 0)", sum.answers, one.name)
		case one.limited:
			limited := sum.sent - min(sum.sent, sum.answers-sum.cut)
			check(float64(limited) >= leastLimited*float64(sum.sent), "rate limiting cut or withheld the answers to %d of %d %s (at least %.0f %%)", limited, sum.sent, one.name, 100*leastLimited)
		}
	}
	if last.tcp != nil {
		check(last.tcp.written > 0, "%d clients wrote %d bytes of queries (at least 1); %d connections were opened again", len(last.tcp.fds), last.tcp.written, last.tcp.anew)
	}
	if last.held != nil {
		held := len(last.held.fds)
		for i := range a.samples {
			held = min(held, a.samples[i].held)
		}
		check(held == len(last.held.fds), "%d of %d connections were open at the end (all)", held, len(last.held.fds))
	}
}
