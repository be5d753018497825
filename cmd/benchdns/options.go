//go:build linux && (amd64 || arm64)

package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// options are what a benchmark takes; each has some of them.
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

// maxWindow bounds queries in flight: an id is of one of them.
const maxWindow = 1 << 15

// flags makes the flags that every benchmark has.
func (o *options) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.StringVar(&o.veer, "veer", "bin/veer", "the veer binary")
	f.IntVar(&o.serverCPU, "server-cpu", 0, "the CPU of the servers")
	f.IntVar(&o.loadCPU, "load-cpu", 1, "the CPU of the generator")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary folder with configurations and logs")
	return f
}

// saturating adds the flags of a benchmark that saturates servers.
func (o *options) saturating(f *flag.FlagSet) {
	f.IntVar(&o.window, "window", 256, "queries in flight at saturation; more than a server's receive buffer holds are lost")
	f.IntVar(&o.burst, "burst", 8, "queries that leave a source at once at saturation, 1 to 16")
}

func (o *options) mayBurst() bool {
	return o.burst >= 1 && o.burst <= maxBurst && o.window >= o.burst && o.window <= maxWindow
}

// parse parses the arguments, and checks what every benchmark has.
func (o *options) parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("found %q; expected flags only", f.Args())
	case o.span < time.Second:
		return fmt.Errorf("found --for %s; expected at least 1s", o.span)
	case o.serverCPU == o.loadCPU:
		return fmt.Errorf("found CPU %d for both; expected that server and generator have one each", o.serverCPU)
	}
	var err error
	o.veer, err = filepath.Abs(o.veer)
	return err
}

// newBench makes a benchmark with a folder of its own below one, "" being the
// system's, and moves this process to its CPU. done removes the folder, unless
// it is to be kept.
func newBench(o options, below string, out io.Writer) (b *bench, done func(), err error) {
	// A short path: unix sockets below it must fit into 100 bytes.
	dir, err := os.MkdirTemp(below, "vdns")
	if err != nil {
		return nil, nil, err
	}
	done = func() { os.RemoveAll(dir) } //nolint:errcheck // it is a temporary one
	if o.keep {
		fmt.Fprintf(os.Stderr, "benchdns: configurations and logs are kept in %s\n", dir)
		done = func() {}
	}
	if err := pinAll(o.loadCPU); err != nil {
		done()
		return nil, nil, err
	}
	return &bench{o: o, dir: dir, out: out, random: rand.New(rand.NewPCG(o.seed, uint64(os.Getpid())))}, done, nil // #nosec G404 -- of ports
}
