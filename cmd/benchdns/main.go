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
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// The children run where the main thread runs: see lab.Main and pinThread.
func main() { lab.Main("benchdns", run) }

type options struct {
	veer, coredns      string
	buildCoredns       bool
	rounds             int
	span, warm, rest   time.Duration
	load               float64
	window, burst      int
	serverCPU, loadCPU int
	only               string
	seed               uint64
	keep               bool
}

// quietRate is the load, in queries a second, at which latency is measured.
const quietRate = 20000

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("benchdns", flag.ContinueOnError)
	f.StringVar(&o.veer, "veer", "bin/veer", "the veer binary")
	f.StringVar(&o.coredns, "coredns", "", "a CoreDNS binary; without one CoreDNS is left out")
	f.BoolVar(&o.buildCoredns, "build-coredns", false, "build CoreDNS "+coreVersion+" in a temporary folder (downloads it, takes minutes)")
	f.IntVar(&o.rounds, "rounds", 5, "measurements of each server")
	f.DurationVar(&o.span, "for", 4*time.Second, "time of each measurement")
	f.DurationVar(&o.warm, "warm", time.Second, "time of load before each measurement")
	f.DurationVar(&o.rest, "rest", 4*time.Second, "time between a server's first right answers and its measurements")
	f.Float64Var(&o.load, "load", 200000, "queries a second at which CPU is compared; every server must carry it")
	f.IntVar(&o.window, "window", 256, "queries in flight at saturation; more than a server's receive buffer holds are lost")
	f.IntVar(&o.burst, "burst", 8, "queries that leave a source at once at saturation, 1 to 16")
	f.IntVar(&o.serverCPU, "server-cpu", 0, "the CPU of the servers")
	f.IntVar(&o.loadCPU, "load-cpu", 1, "the CPU of the generator")
	f.StringVar(&o.only, "only", "", "measure only these servers (comma-separated; for development)")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the order of queries and sources")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary folder with configurations and logs")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("found %q; expected flags only", f.Args())
	case o.rounds < 1 || o.span < time.Second || o.load < quietRate || o.burst < 1 || o.burst > maxBurst || o.window < o.burst || o.window > 1<<15:
		return o, fmt.Errorf("found --rounds %d, --for %s, --load %.0f, --burst %d, --window %d; expected at least 1 round, 1s and %d, 1 to %d, and from the burst to %d",
			o.rounds, o.span, o.load, o.burst, o.window, quietRate, maxBurst, 1<<15)
	case o.serverCPU == o.loadCPU:
		return o, fmt.Errorf("found CPU %d for both; expected that server and generator have one each", o.serverCPU)
	}
	var err error
	o.veer, err = filepath.Abs(o.veer)
	return o, err
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
	// A short path: unix sockets below it must fit into 100 bytes.
	dir, err := os.MkdirTemp("", "vdns")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintf(os.Stderr, "benchdns: configurations and logs are kept in %s\n", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	if o.buildCoredns && o.coredns == "" {
		if o.coredns, err = buildCoreDNS(ctx, dir); err != nil {
			return err
		}
	}
	if err := pinAll(o.loadCPU); err != nil {
		return err
	}
	b := &bench{o: o, dir: dir, out: out, random: rand.New(rand.NewPCG(o.seed, uint64(os.Getpid())))} // #nosec G404 -- of ports
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
