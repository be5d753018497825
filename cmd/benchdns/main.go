//go:build linux && (amd64 || arm64)

// Command benchdns measures what an answer costs: Veer's authority beside NSD,
// Knot, gdnsd and, if it is given, CoreDNS, one at a time on a CPU of its own,
// on loopback, without root. `make bench-dns` runs it.
//
// `benchdns failover` measures failovers under load, and `benchdns flood` what
// honest clients see of floods: see `make bench-dns-failover` and `make
// bench-dns-flood`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// The children run where the main thread runs: see lab.Main and pinThread.
func main() { lab.Main("benchdns", run) }

// quietRate is the load, in queries a second, at which latency is measured.
const quietRate = 20000

func parse(args []string) (options, error) {
	var o options
	f := o.flags("benchdns")
	o.saturating(f)
	f.StringVar(&o.coredns, "coredns", "", "a CoreDNS binary; without one CoreDNS is left out")
	f.BoolVar(&o.buildCoredns, "build-coredns", false, "build CoreDNS "+coreVersion+" in a temporary folder (downloads it, takes minutes)")
	f.IntVar(&o.rounds, "rounds", 5, "measurements of each server")
	f.DurationVar(&o.span, "for", 4*time.Second, "time of each measurement")
	f.DurationVar(&o.warm, "warm", time.Second, "time of load before each measurement")
	f.DurationVar(&o.rest, "rest", 4*time.Second, "time between a server's first right answers and its measurements")
	f.Float64Var(&o.load, "load", 0, "queries a second at which CPU is compared; every server with a bound must carry it; 0: three quarters of what the slowest of them answers at saturation")
	f.StringVar(&o.only, "only", "", "measure only these servers (comma-separated; for development)")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the order of queries and sources")
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.load != 0 && o.load < quietRate || !o.mayBurst() {
		return o, fmt.Errorf("found --rounds %d, --load %.0f, --burst %d, --window %d; expected at least 1 round, a load of 0 or at least %d, bursts of 1 to %d, and a window from the burst to %d",
			o.rounds, o.load, o.burst, o.window, quietRate, maxBurst, maxWindow)
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "failover":
			return runFailover(ctx, args[1:], out)
		case "flood":
			return runFlood(ctx, args[1:], out)
		}
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	b, done, err := newBench(o, "", out)
	if err != nil {
		return err
	}
	defer done()
	if o.buildCoredns && o.coredns == "" {
		if o.coredns, err = buildCoreDNS(ctx, b.dir); err != nil {
			return err
		}
	}
	for _, k := range kinds(o.veer, o.coredns) {
		if o.only == "" || slices.Contains(strings.Split(o.only, ","), k.name) {
			b.kinds = append(b.kinds, k)
		}
	}
	if len(b.kinds) == 0 {
		return fmt.Errorf("--only %q names no server; expected some of %s, %s, %s, %s, %s", o.only, nameVeer, nameNSD, nameKnot, nameGdnsd, nameCore)
	}
	return b.run(ctx)
}

func (b *bench) run(ctx context.Context) error {
	if err := b.lay(); err != nil {
		return err
	}
	backend, stop, err := listen(b.random)
	if err != nil {
		return err
	}
	defer stop()
	b.backend = backend
	if b.o.load == 0 {
		if b.o.load, err = b.equalLoad(ctx); err != nil {
			return fmt.Errorf("find the load that all carry: %w", err)
		}
	}
	b.head()
	if err := b.measure(ctx); err != nil {
		return err
	}
	r := report{out: b.out, load: b.o.load}
	for _, k := range b.kinds {
		r.results = append(r.results, summary(k, b.samples[k.name]))
	}
	r.table()
	fmt.Fprintf(b.out, "\nload of the machine at the end %s\n\n", lab.Load())
	if b.o.only != "" {
		return errors.New("the run is void: --only left servers out")
	}
	if !r.judge() {
		return errors.New("a bound was missed; see the FAIL lines")
	}
	fmt.Fprintln(b.out, "All bounds kept.")
	return nil
}
