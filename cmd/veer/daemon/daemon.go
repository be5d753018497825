// Package daemon is `veer run`: it wires the parts of one process together,
// starts them in order, and stops them in reverse.
//
// The order is: the authority, which serves the last good answers from its
// snapshot before anything else is up; the API on the unix socket; the
// cluster; the prober; the controller. An error in a part ends the process,
// but for the cluster's while an authority serves: losing etcd changes no
// answer. Where the embedded etcd gives up for good, as on a full disk, Run
// goes on serving, and returns ErrRestart once a new process may do better.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks/callcheck"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

// The roles.
const (
	RoleAll        = "all"
	RoleProber     = "prober"
	RoleController = "controller"
	RoleAuthority  = "authority"
	// RoleWitness votes and keeps an etcd member, and neither decides nor serves.
	RoleWitness = "witness"
)

// Roles returns every role.
func Roles() []string {
	return []string{RoleProber, RoleController, RoleAuthority, RoleWitness, RoleAll}
}

// The stages of a start, in order, as Hooks.Started names them.
const (
	StageAuthority  = "authority"
	StageAPI        = "api"
	StageHTTP       = "http"
	StageCluster    = "cluster"
	StageProber     = "prober"
	StageController = "controller"
)

// stopWithin bounds the shutdown.
const stopWithin = 10 * time.Second

// Options are what a daemon needs.
type Options struct {
	Config *config.Config
	// ConfigPath is shown in messages.
	ConfigPath string
	// Roles are what this process does; empty is all.
	Roles   []string
	Version string
	Log     zerolog.Logger
	// Open makes the clients of providers; nil is the function Open.
	Open Opener
	// Reload asks for a reload with each value; nil: never. See Hangups.
	Reload <-chan os.Signal
	// Load reads the config anew, from where Config was read; nil: a reload takes
	// Config for what is there, and reads what it names.
	Load func() (*config.Config, error)
	// Hooks are for tests.
	Hooks Hooks
}

// Hooks tell a test where a process is. Each is called in the way of the work:
// a hook that blocks holds it up.
type Hooks struct {
	// Started is called when a stage of the start is done.
	Started func(stage string)
	// AfterCommit is called when the ledger has agreed on a shard.
	AfterCommit func(steering.Shard)
	// BeforeSwap is called when shards were heard of, before the authority
	// serves them.
	BeforeSwap func([]steering.Shard)
	// Swapped is called when the authority serves them.
	Swapped func([]steering.Shard)
	// Serving is called with the authority's addresses when it serves.
	Serving func(addresses []string)
	// HTTP is called with the address of host.http when it serves.
	HTTP func(address string)
	// LeaseOverrun and Unguarded plant faults: see cluster.Options.
	LeaseOverrun, Unguarded bool
	// Tally and Decide take the place of the true ones, to plant faults; nil:
	// the true ones.
	Tally  func(regions.Quorum, regions.EndpointID, []regions.Vote) regions.Verdict
	Decide func(steering.Input) steering.Decision
}

// daemon is one process.
type daemon struct {
	o       Options
	c       fixed
	roles   map[string]bool
	keeps   bool  // an etcd member, where the cluster has one for this region
	sealed  error // why the data folder takes no writes; nil: it does. Set before anything starts
	left    bool  // that member was removed, and this process is a client; set before the cluster is joined
	began   time.Time
	parts   *parts
	made    []*server    // the authorities, before they serve
	web     net.Listener // that of host.http, if it was opened ahead
	dropped bool         // this process was root, and is not any more
	servers []*server
	scene   *scene
	metrics *metrics.Metrics
	joined  *cluster.Cluster                // for the parts that start after it
	cluster atomic.Pointer[cluster.Cluster] // nil until it is up, and when etcd gave up
	fences  fences
	apart   detached
	traffic traffic
	courier atomic.Pointer[notify.Courier] // nil where nobody is notified, or another process leads
	notices notices
	exports exports

	current atomic.Pointer[config.Config] // see config
	last    reloaded
	// reloading is held by a reload, and while what it replaces is made first: it
	// guards engine. files are read with it or with opening, and set, as current, with both.
	reloading sync.Mutex
	engine    *httpcheck.Engine
	files     secrets
	token     atomic.Pointer[string]
	beats     map[string]config.Monitor // who calls in, by the endpoint
	book      *callcheck.Book           // what was called in, anywhere
	calls     *pending                  // what was called in here
	gates     gates                     // of hooks
	refusals  gates                     // what the log tells of calls from outside

	opening sync.Mutex           // of what is opened by current
	written []controller.Written // see clients
	opened  map[string]opened    // by provider

	prober     atomic.Pointer[prober.Prober]         // nil without the role, and before it starts
	controller atomic.Pointer[controller.Controller] // nil without the role, and before it starts
}

// server is one authority with the services that it answers for.
type server struct {
	*authority.Server
	name string
	// foreign are services that the config gives to other providers only.
	foreign atomic.Pointer[map[string]bool]
}

// Signals returns a context that ends at the first SIGINT or SIGTERM; a second
// one then ends the process at once.
func Signals(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Run runs until ctx ends, and then returns nil after a clean stop, or until a
// part fails. It returns within 10 s of the end of ctx.
func Run(ctx context.Context, o Options) (err error) {
	d, err := newDaemon(o)
	if err != nil {
		return err
	}
	lock, err := d.holdFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	err = d.recallApart()
	if err == nil {
		err = d.settle()
	}
	if err == nil {
		err = d.start(ctx)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-d.parts.failed:
		}
	}
	if ctx.Err() != nil {
		err = nil
		d.o.Log.Info().Msg("stopping")
	}
	return errors.Join(d.asUser(err), d.parts.stop(stopWithin))
}

func newDaemon(o Options) (*daemon, error) {
	d := &daemon{o: o, roles: map[string]bool{}, began: time.Now(), parts: newParts(o.Log)}
	d.configure(o.Config)
	d.scene = newScene(d.config())
	d.scene.others = d.sayOther
	d.beats, d.calls = d.config().Heartbeats(), newPending()
	d.book = d.newBook()
	given := o.Roles
	if len(given) == 0 {
		given = []string{RoleAll}
	}
	for _, r := range given {
		if !slices.Contains(Roles(), r) {
			return nil, fmt.Errorf("role %q: expected one of %v", r, Roles())
		}
		switch r {
		case RoleAll:
			d.keeps = true
			d.roles[RoleProber], d.roles[RoleController], d.roles[RoleAuthority] = true, true, true
		case RoleWitness:
			d.keeps = true
			d.roles[RoleProber] = true
		default:
			d.keeps = d.keeps || r == RoleController
			d.roles[r] = true
		}
	}
	if d.roles[RoleProber] && !slices.Contains(d.config().Vantages, d.c.Host.Region) {
		return nil, fmt.Errorf("%s: host.region is %q, which is none of the vantages %v: set it in host.yaml or VEER_REGION, or run without the role prober", o.ConfigPath, d.c.Host.Region, d.config().Vantages)
	}
	d.metrics = d.newMetrics()
	d.notices = newNotices()
	if err := os.MkdirAll(d.c.Host.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	return d, nil
}

// start starts the parts that the roles ask for, in order.
func (d *daemon) start(ctx context.Context) error {
	for _, stage := range []struct {
		name  string
		begin func(context.Context) error
	}{
		{StageAuthority, d.startAuthority},
		{StageAPI, d.startAPI},
		{StageHTTP, d.startHTTP},
		{StageCluster, d.startCluster},
		{StageProber, d.startProber},
		{StageController, d.startController},
	} {
		if err := stage.begin(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if d.o.Hooks.Started != nil {
			d.o.Hooks.Started(stage.name)
		}
	}
	d.o.Log.Info().Str("region", string(d.c.Host.Region)).Strs("roles", d.roleNames()).
		Str("version", d.o.Version).Str("config", d.config().Hash()).Msg("veer runs")
	return nil
}

func (d *daemon) roleNames() []string {
	var names []string
	for _, r := range []string{RoleProber, RoleController, RoleAuthority} {
		if d.roles[r] {
			names = append(names, r)
		}
	}
	return names
}

// makeAuthorities makes the servers of what the snapshot holds, or on the very
// first start of what is decided when nothing is known.
func (d *daemon) makeAuthorities() error {
	if !d.roles[RoleAuthority] {
		return nil
	}
	c := d.config()
	for _, p := range c.Providers {
		if p.Authority == nil {
			continue
		}
		s := &server{name: p.Name}
		s.foreign.Store(foreign(c, p))
		own, o := d.authorityOf(c, c.Policy(), p)
		o.DataDir, o.Sealed, o.Log = d.folder(p.Name), d.sealed != nil, d.o.Log.With().Str("part", "authority").Str("provider", p.Name).Logger()
		var err error
		s.Server, err = authority.New(own, o)
		if err != nil {
			return fmt.Errorf("authority %s: %w", p.Name, err)
		}
		s.Lay(d.overlay()) // before the first query
		d.made = append(d.made, s)
	}
	return nil
}

// authorityOf is an authority's config, and what else follows from the whole.
func (d *daemon) authorityOf(c *config.Config, policy steering.Policy, p config.Provider) (authority.Config, authority.Options) {
	own := *p.Authority
	own.Identity = strings.ReplaceAll(own.Identity, "{region}", string(d.c.Host.Region))
	first, others := steering.Decide(steering.Input{Policy: policy}).Answers, *foreign(c, p)
	return own, authority.Options{
		Start:     slices.DeleteFunc(first, func(a steering.Answer) bool { return others[a.Name] }),
		Locations: c.Locations(), HTTPS: c.HTTPS(), Hosts: c.AliasHosts(p.Name), Region: answerNames(policy),
	}
}

// startAuthority serves.
func (d *daemon) startAuthority(ctx context.Context) error {
	var addresses []string
	for _, s := range d.made {
		d.parts.start("authority "+s.name, s.Run)
		select {
		case <-s.Ready():
		case err := <-d.parts.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		d.servers = append(d.servers, s)
		for _, a := range s.Addrs() {
			addresses = append(addresses, a.String())
			d.o.Log.Info().Str("provider", s.name).Str("address", a.Network()+" "+a.String()).Msg("serving DNS")
		}
	}
	if d.o.Hooks.Serving != nil && len(addresses) > 0 {
		d.o.Hooks.Serving(addresses)
	}
	return nil
}

// startController starts the candidate.
func (d *daemon) startController(context.Context) error {
	if !d.roles[RoleController] {
		return nil
	}
	d.reloading.Lock()
	c, written, err := d.newController()
	if err == nil {
		d.controller.Store(c)
	}
	d.reloading.Unlock()
	if err != nil {
		return err
	}
	d.parts.start("requests", func(ctx context.Context) error { return d.answerOthers(ctx, d.joined, c) })
	d.parts.start("controller", func(ctx context.Context) error {
		d.readFences(ctx, written)
		return c.Run(ctx)
	})
	d.startNotifications()
	d.startExports()
	return nil
}

// newController makes the candidate, and returns with it what it writes.
func (d *daemon) newController() (*controller.Controller, []controller.Written, error) {
	log := d.o.Log.With().Str("part", "controller").Logger()
	c, written, err := d.clients()
	if err != nil {
		return nil, nil, err
	}
	cl := d.joined
	committed := d.o.Hooks.AfterCommit
	o := controllerOf(c, c.Policy(), written)
	o.Name, o.Owner, o.Version = string(d.c.Host.Region), d.c.Owner, d.o.Version
	o.World, o.Elector, o.Ledger, o.Marks, o.Served = cl, cl, cl, cl, d.served
	o.Fence = func(f providers.Fence) { d.fences.saw(f.Term) }
	o.Log, o.Wrote, o.Tally, o.Decide = log, d.counted, d.o.Hooks.Tally, d.o.Hooks.Decide
	o.AfterCommit = func(s steering.Shard) {
		d.metrics.Decided()
		if committed != nil {
			committed(s)
		}
	}
	return controller.New(o), written, nil
}

// controllerOf is what of a controller's options follows from the config.
func controllerOf(c *config.Config, policy steering.Policy, written []controller.Written) controller.Options {
	return controller.Options{
		Policy: policy, Quorums: c.Quorums(), Vantages: c.Vantages, Calendar: c.Calendar,
		Recovery: c.Recovery(), Panic: c.Panic.Rule(), Percent: int(c.Velocity.Share),
		Reconcile: c.Reconcile.Schedule(), Providers: written, ConfigHash: c.Hash(),
	}
}
