// Command benchfailover measures how long DNS answers point to a failed
// backend: Veer beside gdnsd and PowerDNS Lua records, all at once, on
// loopback, without root. `make bench-failover` runs it.
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
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

func main() { lab.Main("benchfailover", run) }

type options struct {
	veer, configs string
	repeats       int
	seed          uint64
	only          string
	keep          bool
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 2 && args[0] == "backend" {
		return lab.ServeBackend(ctx, args[1], args[1], out)
	}
	var o options
	f := flag.NewFlagSet("benchfailover", flag.ContinueOnError)
	f.StringVar(&o.veer, "veer", "bin/veer", "the veer binary")
	f.StringVar(&o.configs, "configs", "docs/benchmarks/failover", "folder of the servers' configurations")
	f.IntVar(&o.repeats, "repeats", 20, "failures of each kind")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the phases (0: from the clock)")
	f.StringVar(&o.only, "only", "", "measure only these servers (comma-separated; for development)")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary folder with the logs")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.repeats < 1 {
		return fmt.Errorf("found %q and --repeats %d; expected flags only and at least 1 repeat", f.Args(), o.repeats)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	var err error
	if o.veer, err = filepath.Abs(o.veer); err != nil {
		return err
	}
	return measure(ctx, o, out)
}

func measure(ctx context.Context, o options, out io.Writer) error {
	// A short path: unix sockets below it must fit into 100 bytes.
	dir, err := os.MkdirTemp("", "vbench")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintf(os.Stderr, "benchfailover: logs are kept in %s\n", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	r := rand.New(rand.NewPCG(o.seed, 1))
	b := &bench{configs: o.configs, veer: o.veer, dir: dir, random: r}
	if b.port, err = lab.FreePort(r, primary, secondary); err != nil {
		return err
	}
	first, second, err := backends(b)
	if err != nil {
		return err
	}
	defer second.process.Kill()
	defer func() { first.process.Kill() }()
	servers, err := startAll(b, o.only)
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	rep := &report{out: out, servers: servers}
	before := lab.Load()
	printHead(out, o, servers)
	if err := observe(ctx, o, rep, first, r); err != nil {
		return err
	}
	rep.tables()
	fmt.Fprintf(out, "\nLoad of the machine at the start %s, at the end %s (1, 5 and 15 minutes; much more than its CPUs makes outliers)\n", before, lab.Load())
	rep.raw()
	valid, passed := rep.judge()
	switch {
	case !valid:
		return errors.New("the run is void: a peer was not in its window; see the VOID line")
	case !passed:
		return errors.New("a bound was missed; see the FAIL lines")
	case o.only != "":
		return errors.New("the run is void: --only left servers out")
	}
	fmt.Fprintln(out, "All bounds kept.")
	return nil
}

// startAll starts the servers; on an error those that started are returned too.
func startAll(b *bench, only string) ([]*server, error) {
	makers := []struct {
		name string
		make func() (*server, error)
	}{
		{"gdnsd", b.gdnsd},
		{"PowerDNS", b.powerdns},
		{"veer", func() (*server, error) { return b.ours("veer", false) }},
		{"veer watch", func() (*server, error) { return b.ours("veer watch", true) }},
	}
	var out []*server
	for _, m := range makers {
		if only != "" && !slices.Contains(strings.Split(only, ","), m.name) {
			continue
		}
		s, err := m.make()
		if err != nil {
			return out, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("--only %q names no server; expected some of gdnsd, PowerDNS, veer, veer watch", only)
	}
	return out, nil
}

// observe polls all servers while the rounds run.
func observe(ctx context.Context, o options, rep *report, first *backend, r *rand.Rand) error {
	polling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	started := time.Now()
	for _, s := range rep.servers {
		// Queries count from the first answer on, so that starting up does not.
		if err := s.settle(ctx); err != nil {
			return err
		}
		wg.Go(func() { _ = s.poller.Run(polling) })
	}
	if _, err := wait(ctx, rep.servers, started, primary); err != nil {
		return err
	}
	var plans []plan
	for _, k := range []kind{killed, hung} {
		plans = append(plans, plan{k, newPhases(r, started, o.repeats), newPhases(r, started, o.repeats)})
	}
	for n := range o.repeats {
		for _, p := range plans {
			one, err := once(ctx, n, p, rep.servers, first)
			if err != nil {
				return fmt.Errorf("repeat %d, %s: %w", n+1, p.kind, err)
			}
			rep.rounds = append(rep.rounds, one)
			fmt.Fprintf(os.Stderr, "\rrepeat %d of %d, %s   ", n+1, o.repeats, p.kind)
		}
	}
	fmt.Fprintln(os.Stderr)
	stop()
	wg.Wait()
	for _, s := range rep.servers {
		rep.counts = append(rep.counts, s.poller.Counts())
	}
	return nil
}

func printHead(out io.Writer, o options, servers []*server) {
	fmt.Fprintf(out, "Failover, measured over DNS: time from a backend's failure to the first changed answer, and back\n\n")
	fmt.Fprintf(out, "  date     %s\n", time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(out, "  machine  %d CPUs, %s/%s, %s\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	fmt.Fprintf(out, "  repeats  %d of each case, at random phases, one in each %d ms of the longest schedule (%s), seed %d\n",
		o.repeats, period.Milliseconds()/int64(o.repeats), period, o.seed)
	fmt.Fprintf(out, "  polled   every 10 ms over UDP on loopback; all servers probe the same backend\n")
	for _, s := range servers {
		fmt.Fprintf(out, "  server   %s: %s\n", s.name, s.version)
	}
}
