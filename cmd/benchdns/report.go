//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// The bounds of Veer's authority. A ratio of CPU or of TCP answers is given the
// noise of the measurement; that of answers a second has it in its bound.
const (
	mostOfNSD    = 1.05 // CPU per answer
	mostOfGdnsd  = 1.10
	leastOfBest  = 0.97 // answers a second
	mostSteered  = 1.00 // CPU of a steered answer, as a part of a static one's
	leastFast    = 0.99
	leastTCP     = 1.2 // answers a second over TCP, as a part of gdnsd's
	mostLost     = 0.0001
	noise        = 1.03
	leastBusy    = 0.97 // below, a server was not saturated
	leastCarried = 0.98 // of the equal load
)

// result is what one server's measurements come to: medians, but for counts,
// which are sums.
type result struct {
	name                         string
	limits                       bool // it is to have rate limiting
	rate, busy                   float64
	cpuFull, cpuEqual, cpuQuiet  float64 // seconds per million answers
	carried                      float64 // share of the equal load that was answered, the least
	p50, p99                     time.Duration
	late                         time.Duration // p99 of how late the generator itself sent, where the latency is from
	memory                       float64
	tcp, cpuTCP                  float64
	static, steered              float64 // CPU seconds per million; 0: it does not steer
	sent, wrong, truncated, lost uint64
	edns, cookies                uint64
	limited                      int // measurements in which rate limiting acted
	rounds                       int
	fast, general                uint64
	firstWrong                   string
}

func median(of []float64) float64 {
	of = slices.Clone(of)
	slices.Sort(of)
	n := len(of)
	return (of[(n-1)/2] + of[n/2]) / 2
}

func summary(k kind, samples []sample) result {
	r := result{name: k.name, limits: k.limits, rounds: len(samples), carried: 1}
	pick := func(value func(s *sample) float64) float64 {
		var all []float64
		for i := range samples {
			all = append(all, value(&samples[i]))
		}
		return median(all)
	}
	r.rate = pick(func(s *sample) float64 { return s.full.tally.perSecond() })
	r.busy = pick(func(s *sample) float64 { return s.full.busy() })
	r.cpuFull = pick(func(s *sample) float64 { return s.full.perMillion() })
	r.cpuEqual = pick(func(s *sample) float64 { return s.equal.perMillion() })
	r.cpuQuiet = pick(func(s *sample) float64 { return s.quiet.perMillion() })
	r.p50 = time.Duration(pick(func(s *sample) float64 { return float64(s.quiet.tally.latency.quantile(0.5)) }))
	r.p99 = time.Duration(pick(func(s *sample) float64 { return float64(s.quiet.tally.latency.quantile(0.99)) }))
	r.late = time.Duration(pick(func(s *sample) float64 { return float64(s.quiet.tally.late.quantile(0.99)) }))
	r.memory = pick(func(s *sample) float64 { return float64(s.memory) })
	r.tcp = pick(func(s *sample) float64 { return s.tcp.perSecond })
	r.cpuTCP = pick(func(s *sample) float64 { return s.tcp.perMillion() })
	if k.steers {
		r.static = pick(func(s *sample) float64 { return s.static.perMillion() })
		r.steered = pick(func(s *sample) float64 { return s.steered.perMillion() })
	}
	for i := range samples {
		s := &samples[i]
		r.carried = min(r.carried, s.equal.carried())
		if s.limited {
			r.limited++
		}
		r.fast, r.general = r.fast+s.fast, r.general+s.general
		loads := s.loads()
		if k.steers {
			loads = append(loads, s.static, s.steered)
		}
		for _, m := range loads {
			t := m.tally
			r.sent, r.wrong, r.truncated, r.lost = r.sent+t.sent, r.wrong+t.wrong, r.truncated+t.truncated, r.lost+t.lost
			r.edns, r.cookies = r.edns+t.edns, r.cookies+t.cookies
			if r.firstWrong == "" {
				r.firstWrong = t.firstWrong
			}
		}
	}
	return r
}

// report is the end of a run.
type report struct {
	out     io.Writer
	load    float64
	results []result
}

func (r *report) table() {
	fmt.Fprintf(r.out, "\nMedians\n%-8s %10s %6s | %8s %8s %8s | %8s %8s | %8s | %9s %8s | %8s %8s\n", "", "answers/s", "busy",
		"CPU full", "load", "20k", "p50 us", "p99 us", "MB", "TCP/s", "CPU TCP", "static", "steered")
	for _, s := range r.results {
		fmt.Fprintf(r.out, "%-8s %10.0f %5.1f%% | %8.2f %8.2f %8.2f | %8.1f %8.1f | %8.1f | %9.0f %8.2f |", s.name, s.rate, 100*s.busy,
			s.cpuFull, s.cpuEqual, s.cpuQuiet, micro(s.p50), micro(s.p99), s.memory/1e6, s.tcp, s.cpuTCP)
		if s.steered > 0 {
			fmt.Fprintf(r.out, " %8.2f %8.2f", s.static, s.steered)
		}
		fmt.Fprintln(r.out)
	}
	fmt.Fprintf(r.out, "\n%-8s %12s %8s %8s %8s %12s %9s %14s %14s\n", "", "queries", "wrong", "cut", "lost", "of the load", "cookies", "sent late us", "rate limit")
	for _, s := range r.results {
		limit := "none"
		if s.limited > 0 {
			limit = fmt.Sprintf("acts in %d of %d", s.limited, s.rounds)
		}
		fmt.Fprintf(r.out, "%-8s %12d %8d %8d %8d %11.1f%% %8.1f%% %14.1f %14s\n", s.name, s.sent, s.wrong, s.truncated, s.lost, 100*s.carried, share(s.cookies, s.edns), micro(s.late), limit)
	}
	for _, s := range r.results {
		if s.name == nameVeer && s.limited < s.rounds {
			fmt.Fprintf(r.out, "%s has no rate limiting that acts on 5,000 queries a second from one address: its figures are without the price of it.\n", s.name)
		}
		if s.name == nameVeer && s.cookies == 0 {
			fmt.Fprintf(r.out, "%s sends no cookies: its figures are without the price of them.\n", s.name)
		}
		if s.firstWrong != "" {
			fmt.Fprintf(r.out, "%s's first wrong answer: %s\n", s.name, s.firstWrong)
		}
	}
}

func share(part, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(part) / float64(of)
}

// judge prints a line for each bound, and returns whether all were kept.
func (r *report) judge() bool {
	passed := true
	check := func(good bool, format string, args ...any) {
		word := "PASS"
		if !good {
			word, passed = "FAIL", false
		}
		fmt.Fprintf(r.out, "%s  %s\n", word, fmt.Sprintf(format, args...))
	}
	find := func(name string) (result, bool) {
		i := slices.IndexFunc(r.results, func(s result) bool { return s.name == name })
		if i < 0 {
			check(false, "%s was not measured", name)
			return result{}, false
		}
		return r.results[i], true
	}
	ours, a := find(nameVeer)
	nsd, b := find(nameNSD)
	gdnsd, c := find(nameGdnsd)
	if !a || !b || !c {
		return false
	}
	for _, s := range r.results {
		check(s.wrong == 0 && s.truncated == 0 && s.sent > 0, "%s: %d wrong and %d cut answers of %d (at most 0)", s.name, s.wrong, s.truncated, s.sent)
		if s.limits {
			check(s.limited == s.rounds, "%s: rate limiting acted in %d of %d measurements, on one address with 5,000 queries a second", s.name, s.limited, s.rounds)
		}
	}
	for _, s := range []result{ours, nsd, gdnsd} {
		check(s.carried >= leastCarried, "%s: answered %.1f %% of the equal load (at least %.0f, otherwise its CPU does not compare; see --load)", s.name, 100*s.carried, 100*leastCarried)
	}
	check(float64(ours.lost) <= mostLost*float64(ours.sent), "%s: %d of %d queries had no answer (at most %.2f %%)", ours.name, ours.lost, ours.sent, 100*mostLost)
	for _, peer := range []struct {
		result
		most float64
	}{{nsd, mostOfNSD}, {gdnsd, mostOfGdnsd}} {
		ratio := ours.cpuEqual / peer.cpuEqual
		check(ratio <= peer.most*noise, "%s: %.3f times %s's CPU per answer at %.0f/s (at most %.2f, with 3 %% of noise); at saturation %.3f, at %d/s %.3f",
			ours.name, ratio, peer.name, r.load, peer.most, ours.cpuFull/peer.cpuFull, quietRate, ours.cpuQuiet/peer.cpuQuiet)
	}
	best := nsd
	if gdnsd.rate > nsd.rate {
		best = gdnsd
	}
	check(best.busy >= leastBusy, "%s, the better peer, was saturated: busy for %.1f %% of the time (at least %.0f, otherwise the generator was measured)", best.name, 100*best.busy, 100*leastBusy)
	check(ours.rate >= leastOfBest*best.rate, "%s: %.3f times the answers a second of %s, the better peer (at least %.2f)", ours.name, ours.rate/best.rate, best.name, leastOfBest)
	check(ours.static > 0 && ours.steered <= mostSteered*noise*ours.static, "%s: a steered answer takes %.3f times the CPU of a static one (at most %.2f, with 3 %% of noise)", ours.name, ours.steered/ours.static, mostSteered)
	fast := share(ours.fast, ours.fast+ours.general)
	check(fast >= 100*leastFast, "%s: %.3f %% of %d answers over UDP took the fast path (at least %.0f)", ours.name, fast, ours.fast+ours.general, 100*leastFast)
	check(ours.tcp >= leastTCP/noise*gdnsd.tcp, "%s: %.3f times gdnsd's answers a second over %d TCP connections (at least %.1f, with 3 %% of noise)", ours.name, ours.tcp/gdnsd.tcp, tcpConnections, leastTCP)
	return passed
}
