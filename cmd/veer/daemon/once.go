package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

// leasePeriods is how many periods of the schedule a vote lives: a vantage that
// misses two passes in a row is unknown.
const leasePeriods = 3

// ErrNoLedger means that a pass would have nothing to go on from, and would
// leave nothing behind.
var ErrNoLedger = errors.New("no ledger outlives the pass")

// OnceOptions are what a pass needs.
type OnceOptions struct {
	Config     *config.Config
	ConfigPath string
	Version    string
	// First: it is meant that data_dir holds no ledger yet.
	First bool
	Log   zerolog.Logger
	// Open makes the clients of providers; nil is the function Open.
	Open Opener
}

// Once makes one pass without a daemon: it probes everything, votes, and, if no
// daemon leads, leads until everything that is due is decided, committed and
// written.
func Once(ctx context.Context, o OnceOptions) (_ api.Pass, err error) {
	if err := o.check(); err != nil {
		return api.Pass{}, err
	}
	limit := 2 * max(o.Config.Schedule, 15*time.Second)
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil && whole.Err() == nil {
			err = fmt.Errorf("the pass did not end within %s, and was given up: %w", limit, err)
		}
	}()
	d, closing, err := joinOnce(ctx, o)
	if err != nil {
		return api.Pass{}, err
	}
	defer func() { err = errors.Join(err, closing()) }()
	out := api.NewPass(d.c.Host.Region)
	if err := d.votePass(ctx, &out); err != nil {
		return out, err
	}
	return out, d.leadPass(ctx, nil, &out)
}

// daemon has what a command shares with a daemon; nothing of it runs.
func (o OnceOptions) daemon() *daemon {
	d := &daemon{o: Options{Config: o.Config, ConfigPath: o.ConfigPath, Version: o.Version, Log: o.Log, Open: o.Open}, began: time.Now()}
	d.configure(o.Config)
	d.metrics = d.newMetrics() // nobody scrapes a pass, but the controller counts
	d.scene = newScene(d.config())
	d.book = deaf() // with a schedule nothing is called in
	return d
}

// joinOnce joins the ledger as a pass. The function leaves it again.
func joinOnce(ctx context.Context, o OnceOptions) (*daemon, func() error, error) {
	d := o.daemon()
	lock := func() error { return nil }
	if len(d.c.Cluster.Endpoints) == 0 {
		if err := os.MkdirAll(d.c.Host.DataDir, 0o700); err != nil {
			return nil, nil, fmt.Errorf("making the data folder: %w", err)
		}
		f, err := lockFolder(d.c.Host.DataDir)
		if err != nil {
			return nil, nil, err
		}
		lock = f.Close
	}
	co := d.clusterOptions()
	co.Pass = leasePeriods * max(d.config().Schedule, time.Second)
	cl, err := cluster.Start(ctx, d.c.Cluster, co)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("joining the ledger: %w", err), lock())
	}
	if err := cl.Reach(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("joining the ledger: %w", err), cl.Close(), lock())
	}
	d.joined = cl
	return d, func() error { return errors.Join(cl.Close(), lock()) }, nil
}

// check refuses what could not work.
func (o OnceOptions) check() error {
	c := o.Config
	switch {
	case c.Schedule == 0:
		return bad("%s has no key schedule: it says how often a scheduler runs veer once, like schedule: 1m", o.ConfigPath)
	case !slices.Contains(c.Vantages, c.Host.Region):
		return bad("%s: host.region is %q, which is none of the vantages %v: set it in host.yaml or VEER_REGION", o.ConfigPath, c.Host.Region, c.Vantages)
	case len(c.Cluster.Endpoints) > 0:
		return nil
	case len(c.Cluster.Members) > 1:
		return fmt.Errorf("%w: members of cluster.members run only while a pass does, so that they never meet; give cluster.endpoints, an etcd that runs all the time", ErrNoLedger)
	case o.First || HasLedger(c):
		return nil
	}
	return fmt.Errorf("%w: there is no cluster.endpoints, and %s holds no ledger; give the endpoints of an etcd, or, if this data_dir is kept from pass to pass, run the first one with --first", ErrNoLedger, c.Host.DataDir)
}

// HasLedger reports whether data_dir holds the ledger of an embedded etcd.
func HasLedger(c *config.Config) bool {
	_, err := os.Stat(filepath.Join(c.Host.DataDir, "etcd", "member"))
	return !errors.Is(err, fs.ErrNotExist)
}

// votePass probes everything and votes, as the region's vantage.
func (d *daemon) votePass(ctx context.Context, out *api.Pass) error {
	seat, err := d.joined.JoinPass(ctx, d.c.Host.Region)
	if errors.Is(err, cluster.ErrTaken) {
		return refused("let that daemon do it, or stop it", "a daemon votes for %s already: %v", d.c.Host.Region, err)
	}
	if err != nil {
		return err
	}
	memory, err := seat.Recall(ctx)
	if err != nil {
		return err
	}
	p, err := d.newProber()
	if err != nil {
		return err
	}
	ballot, memory, err := p.Pass(ctx, memory)
	if err != nil {
		return err
	}
	if err := seat.Cast(ctx, ballot, memory); err != nil {
		return fmt.Errorf("voting as %s: %w", d.c.Host.Region, err)
	}
	out.Votes = tally(ballot)
	return nil
}

// tally counts a ballot's votes by what they say.
func tally(b regions.Ballot) map[checks.Health]int {
	out := map[checks.Health]int{}
	for _, v := range b.Votes {
		out[v.Health]++
	}
	return out
}

// leadPass leads for one pass, unless a daemon does.
func (d *daemon) leadPass(ctx context.Context, req *controller.Request, out *api.Pass) error {
	c, written, err := d.newController()
	if err != nil {
		return err
	}
	if leader, err := d.joined.Daemon(ctx); err != nil || leader != "" {
		out.Result, out.Leader = api.PassVoted, leader
		return err
	}
	d.readFences(ctx, written)
	done, err := c.Once(ctx, controller.PassOptions{
		Wait: max(d.config().Schedule/2, 10*time.Second), Look: d.joined.Survey, Interlude: d.joined, Request: req, Tell: d.tellPass,
	})
	out.Term, out.Unknown, out.Zones = done.Term, shortAll(done.Unknown), append(out.Zones, done.Zones...)
	for _, e := range done.Moves {
		out.Moves = append(out.Moves, api.Move{Service: e.Service, Before: e.From, After: e.To,
			Why: []steering.Reason{{Service: e.Service, Rule: e.Rule, Text: e.Text}}})
	}
	if errors.Is(err, controller.ErrBusy) {
		if leader, asking := d.joined.Daemon(ctx); asking == nil && leader != "" {
			out.Result, out.Leader = api.PassVoted, leader
			return nil
		}
	}
	if err != nil {
		return err
	}
	out.Leader = string(d.c.Host.Region)
	out.Result = resultOf(done)
	return nil
}

func resultOf(done controller.Outcome) api.PassResult {
	switch {
	case !done.Known:
		return api.PassUnknown
	case done.Changed():
		return api.PassChanged
	}
	return api.PassUnchanged
}

func shortAll(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, short(n))
	}
	return out
}

// newProber makes this region's vantage.
func (d *daemon) newProber() (*prober.Prober, error) {
	engine := httpcheck.NewEngine()
	d.engine = engine
	endpoints, references, err := d.jobs(d.config(), d.files)
	if err != nil {
		return nil, err
	}
	return prober.New(prober.Options{
		Vantage: d.c.Host.Region, Jobs: endpoints, References: references, Engine: engine, Booth: d.joined,
		Log: d.o.Log.With().Str("part", "prober").Logger(), Renew: d.c.Cluster.Defaults().VoteLease / 5, Seed: uint64(d.began.UnixNano()),
	})
}
