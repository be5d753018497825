//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// floodOptions are what `benchdns flood` takes.
type floodOptions struct {
	options
	honest, flood float64
	idle, slow    int
}

func parseFlood(args []string) (floodOptions, error) {
	var o floodOptions
	f := o.flags("benchdns flood")
	f.IntVar(&o.rounds, "rounds", 5, "measurements of each flood, each after one without it")
	f.DurationVar(&o.span, "for", 4*time.Second, "time of each measurement")
	f.Float64Var(&o.honest, "honest", 10000, "honest queries a second")
	f.Float64Var(&o.flood, "flood", 40000, "packets of a flood a second")
	f.IntVar(&o.idle, "idle", 10000, "idle TCP connections, as far as open files are allowed")
	f.IntVar(&o.slow, "slow", 200, "TCP clients that do not read")
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	o.warm, o.rest, o.seed, o.burst = time.Second, 2*time.Second, movesSeed, 1
	if o.rounds < 1 || o.honest < 100 || o.flood < 100 || o.idle < 1 || o.idle > 11000 || o.slow < 1 || o.slow > 500 {
		return o, fmt.Errorf("found --rounds %d, --honest %.0f, --flood %.0f, --idle %d, --slow %d; expected at least 1, 100 and 100, 1 to 11000, and 1 to 500",
			o.rounds, o.honest, o.flood, o.idle, o.slow)
	}
	return o, nil
}

// attack is one kind of flood.
type attack struct {
	name string
	// begin starts it, and returns what goes on during the measurement.
	begin func(s *subject) (*floods, error)
	// room is what the server may take for it, beyond what it had before.
	room    uint64
	samples []attacked
}

// attacked is one measurement of it.
type attacked struct {
	normal, under measured
	before, after uint64 // the server's memory
	floods        *floods
	held          int // TCP connections that were open at the end
	tcp           error
}

// runFlood is `benchdns flood`.
func runFlood(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseFlood(args)
	if err != nil {
		return err
	}
	b, done, err := newBench(o.options, "", out)
	if err != nil {
		return err
	}
	defer done()
	if o.idle, err = connections(o.idle); err != nil {
		return err
	}
	if err := b.lay(); err != nil {
		return err
	}
	backend, stop, err := listen(b.random)
	if err != nil {
		return err
	}
	defer stop()
	b.backend = backend
	s, err := b.start(ctx, kind{name: "Flood", binary: o.veer, args: kinds(o.veer, "")[0].args, zoneFile: zone + ".zone", steered: largeRecords()}, 0)
	if err != nil {
		return err
	}
	defer s.stop()
	all := b.attacks(o)
	floodHead(out, b, o, s.account.first())
	if err := b.floods(ctx, s, o, all); err != nil {
		return err
	}
	if !floodReport(out, all) {
		return errors.New("a bound was missed; see the FAIL lines")
	}
	fmt.Fprintln(out, "All bounds kept.")
	return nil
}

// The memory that a server may take for a flood: packets are answered where they
// were read, a client who does not read holds some room for queries and answers,
// and an idle one little.
const (
	roomOfFlood = 32 << 20
	roomOfSlow  = 128 << 10
	roomOfIdle  = 16 << 10
)

func (b *bench) attacks(o floodOptions) []*attack {
	r := rand.New(rand.NewPCG(b.o.seed, 11)) // #nosec G404 -- of a benchmark
	return []*attack{
		{name: "malformed packets", room: roomOfFlood, begin: func(s *subject) (*floods, error) {
			f := malformedFlood(r, b.whole, o.flood)
			return f, f.open(s.address)
		}},
		{name: "spoofed sources", room: roomOfFlood, begin: func(s *subject) (*floods, error) {
			f, err := spoofedFlood(o.flood)
			if err != nil {
				return f, err
			}
			return f, f.open(s.address)
		}},
		{name: "slow TCP readers", room: roomOfFlood + uint64(o.slow)*roomOfSlow, begin: func(s *subject) (*floods, error) { // #nosec G115 -- parseFlood bounds it
			tcp, err := newReaders(s.address, o.slow)
			return &floods{tcp: tcp}, err
		}},
		{name: "idle TCP connections", room: roomOfFlood + uint64(o.idle)*roomOfIdle, begin: func(s *subject) (*floods, error) { // #nosec G115 -- the same
			held, err := openIdle(s.address, o.idle)
			return &floods{held: held}, err
		}},
	}
}

// floods measures each attack, each time after a measurement without it.
func (b *bench) floods(ctx context.Context, s *subject, o floodOptions, all []*attack) error {
	g, err := newGenerator(s.address)
	if err != nil {
		return err
	}
	defer g.wire.close()
	for range b.o.rounds {
		for _, a := range all {
			got, err := b.attacked(ctx, s, g, o, a)
			if err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			a.samples = append(a.samples, got)
		}
	}
	return nil
}

func (b *bench) attacked(ctx context.Context, s *subject, g *generator, o floodOptions, a *attack) (out attacked, err error) {
	honest := load{mix: b.whole, rate: o.honest, patience: movePatience}
	if out.normal, err = b.under(ctx, s, g, honest); err != nil {
		return out, err
	}
	if out.before, err = s.account.memory(); err != nil {
		return out, err
	}
	w, err := a.begin(s)
	defer w.close()
	if err != nil {
		return out, err
	}
	honest.watch, out.floods = w, w
	if out.under, err = b.under(ctx, s, g, honest); err != nil {
		return out, err
	}
	if out.after, err = s.account.memory(); err != nil {
		return out, err
	}
	out.tcp = answersTCP(s.address)
	if w.held != nil {
		out.held = w.held.open()
	}
	return out, nil
}
