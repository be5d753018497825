//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"golang.org/x/sys/unix"
)

// The bounds of a failover under load: from the ledger's commit to the last
// answer with the old addresses. See move.most for when that begins.
const (
	latestAtHalf = 5 * time.Millisecond
	latestAtFull = 25 * time.Millisecond
	movesSeed    = 3
	moveLimit    = 20 * time.Second // of one move, detection and hold-down included
	// movePatience is how long a query waits before it is lost: so long that a
	// machine with other work does not make it so.
	movePatience = 2 * time.Second
)

// failoverOptions are what `benchdns failover` takes.
type failoverOptions struct {
	options
	repeats int
}

func parseFailover(args []string) (failoverOptions, error) {
	var o failoverOptions
	f := o.flags("benchdns failover")
	o.saturating(f)
	f.IntVar(&o.repeats, "repeats", 20, "failovers, and as many returns, at each load")
	f.DurationVar(&o.span, "for", 3*time.Second, "time of the measurement of saturation")
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	o.warm, o.rest, o.seed = time.Second, 2*time.Second, movesSeed
	if o.repeats < 1 || !o.mayBurst() {
		return o, fmt.Errorf("found --repeats %d, --burst %d, --window %d; expected at least 1, 1 to %d, and from the burst to %d",
			o.repeats, o.burst, o.window, maxBurst, maxWindow)
	}
	return o, nil
}

// moved is what one load's moves came to.
type moved struct {
	name   string
	latest time.Duration // the bound
	tally  *tally
	moves  []move
	mixed  uint64
	stale  uint64 // answers with addresses that were gone long ago
	drops  int    // packets that the system dropped, since a socket had no room for them
	busy   float64
	// saturated: it was to be.
	saturated bool
	order     string // whether the server ran first; "": it was not to
}

// runFailover is `benchdns failover`: a whole Veer under load moves a service of
// several addresses there and back, again and again.
func runFailover(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseFailover(args)
	if err != nil {
		return err
	}
	b, done, err := newBench(o.options, inMemory(), out)
	if err != nil {
		return err
	}
	defer done()
	if err := b.lay(); err != nil {
		return err
	}
	ends, err := newEndpoints(b.random, homeAddresses, awayAddresses)
	if err != nil {
		return err
	}
	defer ends.close()
	b.backend, b.whole = ends.port, b.static // what it must answer before anything is measured
	s, err := b.start(ctx, kind{name: "Failover", binary: o.veer, args: kinds(o.veer, "")[0].args, zoneFile: zone + ".zone"}, 0)
	if err != nil {
		return err
	}
	defer s.stop()
	all, full, err := b.moves(ctx, s, ends, o.repeats)
	if err != nil {
		return fmt.Errorf("%w; last lines of the log:\n%s", err, lab.Tail(s.process.Log, 5))
	}
	failoverHead(out, b, full, o.repeats)
	passed := true
	for _, m := range all {
		passed = m.report(out) && passed
	}
	fmt.Fprintf(out, "\nload of the machine at the end %s\n", lab.Load())
	if !passed {
		return errors.New("a bound was missed; see the FAIL lines")
	}
	fmt.Fprintln(out, "All bounds kept.")
	return nil
}

// inMemory is a folder in memory, where the system has such a place: how long a
// disk takes until a commit is safe comes before the commit, and is no part of
// what is measured.
func inMemory() string {
	const place = "/dev/shm"
	if unix.Access(place, unix.W_OK) == nil {
		return place
	}
	return ""
}

// moves measures saturation, and then moves at half of it and at all of it.
func (b *bench) moves(ctx context.Context, s *subject, ends *endpoints, repeats int) (all []moved, full measured, err error) {
	m, err := movingMix(b.o.seed)
	if err != nil {
		return nil, full, err
	}
	g, err := newGenerator(s.address)
	if err != nil {
		return nil, full, err
	}
	defer g.wire.close()
	log, err := followLog(s.process.Log, g.began)
	if err != nil {
		return nil, full, err
	}
	defer log.close()
	at := &mover{ctx: ctx, ended: s.process.Done(), ends: ends, log: log, steered: &m.questions[0], rest: settled}
	at.states = [2][][]byte{rawAddresses(homeAddresses), rawAddresses(awayAddresses)}
	span := b.o.span
	if full, err = b.under(ctx, s, g, load{mix: m, watch: at, patience: movePatience}); err != nil {
		return nil, full, err
	}
	b.o.warm, b.o.span = 0, time.Duration(2*repeats)*moveLimit
	defer func() { b.o.warm, b.o.span = time.Second, span }()
	ports := []uint16{s.address.Port(), g.wire.port()}
	for _, l := range []struct {
		name   string
		rate   float64
		latest time.Duration
	}{
		{"half load", full.tally.perSecond() / 2, latestAtHalf},
		{"saturation", 0, latestAtFull},
	} {
		dropped, err := drops(ports...)
		if err != nil {
			return nil, full, err
		}
		// Not at saturation: of who runs first, the system takes a part of each second.
		order := ""
		if l.rate > 0 {
			order = orderOf(s.account.first())
		} else if err := s.account.usual(); err != nil {
			return nil, full, err
		}
		at.begin(2 * repeats)
		got, err := b.under(ctx, s, g, load{mix: m, rate: l.rate, watch: at, patience: movePatience})
		if err != nil {
			return nil, full, fmt.Errorf("%s: %w", l.name, err)
		}
		after, err := drops(ports...)
		if err != nil {
			return nil, full, err
		}
		all = append(all, moved{name: l.name, latest: l.latest, tally: got.tally, moves: slices.Clone(at.done),
			mixed: at.mixed, stale: at.stale, drops: after - dropped, busy: got.busy(), saturated: l.rate == 0, order: order})
	}
	return all, full, nil
}

// movingMix is the mix with the moving name as every second query.
func movingMix(seed uint64) (*mix, error) {
	m, err := wholeMix(seed)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(m.order); i += 2 {
		m.order[i] = 0
	}
	return m, nil
}
