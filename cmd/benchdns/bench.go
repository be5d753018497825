//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// bench is what all measurements share.
type bench struct {
	o                      options
	dir                    string
	out                    io.Writer
	random                 *rand.Rand
	kinds                  []kind
	backend                int // port of the steered name's endpoints
	sources                [][4]byte
	queries                string // the mix, as dnsperf reads it
	samples                map[string][]sample
	whole, static, steered *mix
}

// lay makes what is asked.
func (b *bench) lay() error {
	b.samples, b.sources = map[string][]sample{}, manySources(b.o.seed)
	var err error
	if b.whole, err = wholeMix(b.o.seed); err != nil {
		return err
	}
	if b.static, err = oneName(1, b.o.seed); err != nil {
		return err
	}
	if b.steered, err = oneName(0, b.o.seed); err != nil {
		return err
	}
	b.queries = filepath.Join(b.dir, "queries")
	return os.WriteFile(b.queries, []byte(b.whole.dnsperfText()), 0o600)
}

// measured is one server under one load.
type measured struct {
	tally *tally
	cpu   time.Duration
	rate  float64 // that was to be, if any was
}

// carried is the share of the load that was answered rightly. A generator that
// could not send it makes it less too.
func (m measured) carried() float64 { return m.tally.perSecond() / m.rate }

// perMillion is the CPU time of a million answers, in seconds.
func (m measured) perMillion() float64 { return m.cpu.Seconds() / float64(m.tally.answered()) * 1e6 }

// busy is the share of its CPU that the server used.
func (m measured) busy() float64 { return m.cpu.Seconds() / m.tally.span.Seconds() }

// sample is one measurement of one server.
type sample struct {
	full, equal, quiet measured
	// static and steered are one name each, at saturation; of those that steer.
	static, steered measured
	memory          uint64
	tcp             overTCP
	limited         bool
	fast, general   uint64 // of Veer
}

// loads are all loads of the whole mix.
func (s *sample) loads() []measured { return []measured{s.full, s.equal, s.quiet} }

func (b *bench) measure(ctx context.Context) error {
	fmt.Fprintf(b.out, "%-8s %5s %10s %6s %27s %9s %9s %8s %9s\n", "", "round", "answers/s", "busy", "CPU s/million full,load,20k", "p50 us", "p99 us", "MB", "TCP/s")
	for round := range b.o.rounds {
		for i := range b.kinds {
			// Each begins a round in its turn.
			k := b.kinds[(i+round)%len(b.kinds)]
			s, err := b.once(ctx, k, round)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, k.name, err)
			}
			b.samples[k.name] = append(b.samples[k.name], s)
			fmt.Fprintf(b.out, "%-8s %5d %10.0f %5.1f%% %9.2f %8.2f %8.2f %9.1f %9.1f %8.1f %9.0f\n", k.name, round+1, s.full.tally.perSecond(), 100*s.full.busy(),
				s.full.perMillion(), s.equal.perMillion(), s.quiet.perMillion(), micro(s.quiet.tally.latency.quantile(0.5)), micro(s.quiet.tally.latency.quantile(0.99)),
				float64(s.memory)/1e6, s.tcp.perSecond)
		}
	}
	return nil
}

func micro(d time.Duration) float64 { return float64(d) / 1e3 }

// equalLoad returns three quarters of what the slowest server with a bound answers
// at saturation: as much as all of them carry, since the less comes, the more of the
// CPU goes into waking up.
func (b *bench) equalLoad(ctx context.Context) (float64, error) {
	least := 0.0
	for _, k := range b.kinds {
		if !k.bounded {
			continue
		}
		s, err := b.start(ctx, k, beforeRounds)
		if err != nil {
			return 0, err
		}
		m, err := b.saturated(ctx, s)
		s.stop()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", k.name, err)
		}
		if answers := m.tally.perSecond(); least == 0 || answers < least {
			least = answers
		}
	}
	return carriedBy(least), nil
}

const beforeRounds = -1

// carriedBy is the load that a server carries that answers so many a second at
// saturation.
func carriedBy(answers float64) float64 {
	return max(quietRate, math.Floor(answers*3/4/1000)*1000)
}

func (b *bench) saturated(ctx context.Context, s *subject) (measured, error) {
	g, err := newGenerator(s.address)
	if err != nil {
		return measured{}, err
	}
	defer g.wire.close()
	return b.under(ctx, s, g, load{mix: b.whole})
}

// once measures one server.
func (b *bench) once(ctx context.Context, k kind, round int) (sample, error) {
	var out sample
	s, err := b.start(ctx, k, round)
	if err != nil {
		return out, err
	}
	stopped := false
	defer func() {
		if !stopped {
			s.stop()
		}
	}()
	g, err := newGenerator(s.address)
	if err != nil {
		return out, err
	}
	defer g.wire.close()
	if s.account.softirq == "" {
		fmt.Fprintln(os.Stderr, "benchdns: ksoftirqd is not to be seen from here: what it takes over from a server is not counted")
	}
	type phase struct {
		to   *measured
		load load
	}
	phases := []phase{
		{&out.full, load{mix: b.whole}},
		{&out.equal, load{mix: b.whole, rate: b.o.load}},
		{&out.quiet, load{mix: b.whole, rate: quietRate}},
	}
	if k.steers {
		one, other := phase{&out.static, load{mix: b.static}}, phase{&out.steered, load{mix: b.steered}}
		if round%2 == 1 {
			one, other = other, one
		}
		phases = append(phases, one, other)
	}
	for _, p := range phases {
		if *p.to, err = b.under(ctx, s, g, p.load); err != nil {
			return out, err
		}
	}
	if out.memory, err = s.account.memory(); err != nil {
		return out, err
	}
	if out.tcp, err = b.tcp(ctx, s); err != nil {
		return out, err
	}
	if out.limited, err = limited(g, b.static); err != nil {
		return out, err
	}
	s.stop()
	stopped = true
	if k.name == nameVeer {
		out.fast, out.general, err = paths(s.process.Log)
	}
	return out, err
}

// under measures a server under a load.
func (b *bench) under(ctx context.Context, s *subject, g *generator, l load) (measured, error) {
	if err := ctx.Err(); err != nil {
		return measured{}, err
	}
	l.sources, l.window, l.burst, l.warm, l.span = b.sources, b.o.window, b.o.burst, b.o.warm, b.o.span
	var marks []time.Duration
	tally, err := g.run(l, func() error {
		cpu, err := s.account.cpu()
		marks = append(marks, cpu)
		return err
	})
	if err != nil {
		return measured{}, err
	}
	if tally.right == 0 {
		return measured{}, fmt.Errorf("of %d queries none was answered rightly; the first wrong answer: %s", tally.sent, tally.firstWrong)
	}
	return measured{tally: tally, cpu: marks[1] - marks[0], rate: l.rate}, nil
}

// limited asks from one address as nobody should, and reports whether the server
// answers less.
func limited(g *generator, m *mix) (bool, error) {
	t, err := g.run(load{mix: m, sources: [][4]byte{{127, 99, 0, 1}}, rate: 5000, burst: 1, span: time.Second}, func() error { return nil })
	if err != nil {
		return false, err
	}
	return t.right < t.sent*8/10, nil
}

func (b *bench) head() {
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	fmt.Fprintf(b.out, "Authoritative servers over UDP, one at a time on CPU %d, the generator on CPU %d, on loopback\n\n", b.o.serverCPU, b.o.loadCPU)
	fmt.Fprintf(b.out, "  date     %s\n", time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(b.out, "  machine  %d CPUs (%s), Linux %s, %s/%s, %s; load %s\n", runtime.NumCPU(), cpuModel(), kernel, runtime.GOOS, runtime.GOARCH, runtime.Version(), lab.Load())
	fmt.Fprintf(b.out, "  zone     %d names with A and AAAA, one of them steered by %s and %s, static in the others\n", names, nameVeer, nameGdnsd)
	fmt.Fprintf(b.out, "  mix      %d %% A (of them %d the steered name), %d %% AAAA, %d %% NXDOMAIN; %d %% with EDNS and a client's cookie; %d sources, each in a /24 of its own\n",
		percentA, percentSteered, percentAAAA, percentMissing, percentEDNS, len(b.sources))
	fmt.Fprintf(b.out, "  full     %d queries in flight, in bursts of %d from one source; answers/s and CPU are of saturation only where the server is busy all the time\n", b.o.window, b.o.burst)
	fmt.Fprintf(b.out, "  load     %.0f queries a second at random moments, which every server with a bound carries: the equal load at which CPU is compared; 20k: %d a second, from which p50 and p99 are\n", b.o.load, quietRate)
	fmt.Fprintf(b.out, "  CPU      of all the server's processes and of ksoftirqd of its CPU\n")
	for _, k := range b.kinds {
		fmt.Fprintf(b.out, "  server   %s: %s\n", k.name, b.version(k))
	}
	if b.o.coredns == "" {
		fmt.Fprintf(b.out, "  server   %s: left out; give it by --coredns PATH or --build-coredns\n", nameCore)
	}
	fmt.Fprintln(b.out)
}

func (b *bench) version(k kind) string {
	args := []string{"dpkg-query", "-W", "-f", "${Version}", k.pack}
	switch k.name {
	case nameVeer:
		args = []string{k.binary, "version"}
	case nameCore:
		args = []string{k.binary, "-version"}
	}
	out, err := exec.Command(args[0], args[1:]...).Output() // #nosec G204 -- what is measured
	if err != nil {
		return "of an unknown version"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown model"
}
