//go:build linux

// Command benchprober measures what health checks over HTTP cost: Veer's prober
// beside gdnsd's http_status, one at a time, in turn, on the same targets, on
// loopback, without root. `make bench-prober` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "targets" { // it ends by the signal itself
		fmt.Fprintf(os.Stderr, "benchprober: %v\n", serveTargets(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	lab.Main("benchprober", run)
}

type options struct {
	veer       string
	endpoints  int
	kept       int
	rounds     int
	warm, span time.Duration
	keep       bool
}

// The bounds: CPU time per check, as a part of gdnsd's, plus 3 % of noise.
const (
	mostNew  = 1.5
	mostKept = 0.9
	noise    = 1.03
)

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	f := flag.NewFlagSet("benchprober", flag.ContinueOnError)
	f.StringVar(&o.veer, "veer", "bin/veer", "the veer binary")
	f.IntVar(&o.endpoints, "endpoints", 20000, "endpoints, each probed every 2 s over a new connection")
	f.IntVar(&o.kept, "kept", 15000, "endpoints that are probed over kept connections")
	f.IntVar(&o.rounds, "rounds", 5, "measurements of each")
	f.DurationVar(&o.warm, "warm", 12*time.Second, "time before each measurement")
	f.DurationVar(&o.span, "for", 15*time.Second, "time of each measurement")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary folder with the logs")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.endpoints < perPool*2 || o.kept < perPool*2 {
		return fmt.Errorf("found %q, --rounds %d, --endpoints %d, --kept %d; expected flags only, at least 1 round and %d endpoints", f.Args(), o.rounds, o.endpoints, o.kept, perPool*2)
	}
	var err error
	if o.veer, err = filepath.Abs(o.veer); err != nil {
		return err
	}
	// A short path: unix sockets below it must fit into 100 bytes.
	dir, err := os.MkdirTemp("", "vprober")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintf(os.Stderr, "benchprober: logs are kept in %s\n", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	return (&bench{o: o, dir: dir, out: out}).measure(ctx)
}

// bench is what all measurements share.
type bench struct {
	o       options
	dir     string
	out     io.Writer
	targets []*targets
	runs    map[string][]sample
}

// The contestants.
const (
	gdnsd    = "gdnsd"
	veerNew  = "veer, new connections"
	veerKept = "veer, kept connections"
)

// sample is one measurement.
type sample struct {
	cpu    time.Duration
	checks uint64
	down   int // endpoints called down in the measurement
	late   string
}

// perMillion is the CPU time of a million checks, in seconds.
func (s sample) perMillion() float64 { return s.cpu.Seconds() / float64(s.checks) * 1e6 }

func (b *bench) measure(ctx context.Context) error {
	b.runs = map[string][]sample{}
	if err := b.serve(); err != nil {
		return err
	}
	defer func() {
		for _, t := range b.targets {
			t.process.Stop(5 * time.Second)
		}
	}()
	fmt.Fprintf(b.out, "HTTP checks every 2 s, %d targets (%d with kept connections) in %d processes, on loopback\n", b.o.endpoints, b.o.kept, len(b.targets))
	fmt.Fprintf(b.out, "%s/%s, %d CPUs, load %s; gdnsd %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), lab.Load(), debianVersion("gdnsd"))
	fmt.Fprintf(b.out, "%-24s %8s %12s %16s %8s  %s\n", "round", "checks/s", "CPU-seconds", "per million", "to down", "late")
	for round := range b.o.rounds {
		for _, c := range []struct {
			name  string
			begin func(round int) (*subject, error)
		}{{gdnsd, b.gdnsd}, {veerNew, b.veerNew}, {veerKept, b.veerKept}} {
			s, err := b.once(ctx, round, c.begin)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			b.runs[c.name] = append(b.runs[c.name], s)
			fmt.Fprintf(b.out, "%-24s %8.0f %12.2f %16.1f %8d  %s\n", c.name, float64(s.checks)/b.o.span.Seconds(), s.cpu.Seconds(), s.perMillion(), s.down, s.late)
		}
	}
	return b.judge()
}

// once measures one contestant.
func (b *bench) once(ctx context.Context, round int, begin func(int) (*subject, error)) (sample, error) {
	s, err := begin(round)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	if err := lab.Pause(ctx, b.o.warm); err != nil {
		return sample{}, err
	}
	before, err := s.look(b)
	if err != nil {
		return sample{}, err
	}
	if err := lab.Pause(ctx, b.o.span); err != nil {
		return sample{}, err
	}
	after, err := s.look(b)
	if err != nil {
		return sample{}, err
	}
	out := sample{cpu: after.cpu - before.cpu, checks: after.checks - before.checks, down: after.down - before.down}
	if out.checks == 0 {
		return out, errors.New("no check arrived at the targets")
	}
	if s.late != nil {
		out.late, err = s.late()
	}
	return out, err
}

// judge prints the medians and holds them against the bounds.
func (b *bench) judge() error {
	median := func(name string) float64 {
		var all []float64
		for _, s := range b.runs[name] {
			all = append(all, s.perMillion())
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	base, failed := median(gdnsd), false
	fmt.Fprintf(b.out, "\nmedians, CPU-seconds per million checks: gdnsd %.1f, new connections %.1f, kept ones %.1f\n", base, median(veerNew), median(veerKept))
	check := func(good bool, format string, args ...any) {
		word := "PASS"
		if !good {
			word, failed = "FAIL", true
		}
		fmt.Fprintf(b.out, "%s  %s\n", word, fmt.Sprintf(format, args...))
	}
	for name, most := range map[string]float64{veerNew: mostNew, veerKept: mostKept} {
		check(median(name) <= base*most*noise, "%s: %.2f times gdnsd's CPU per check (at most %.2f, with 3 %% of noise)", name, median(name)/base, most)
	}
	for _, name := range []string{veerNew, veerKept} {
		down := 0
		for _, s := range b.runs[name] {
			down += s.down
		}
		check(down == 0, "%s: %d endpoints were called down, though all are up (at most 0)", name, down)
	}
	fmt.Fprintf(b.out, "load at the end %s\n", lab.Load())
	if failed {
		return errors.New("a bound was missed; see the FAIL lines")
	}
	return nil
}
