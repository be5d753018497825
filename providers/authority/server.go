// Package authority is Veer's own authoritative DNS server: zones from RFC
// 1035 master files with the services' answers laid over them.
//
// A Server reads its zones at its start and with each Change, serves over UDP
// and TCP with EDNS(0), and answers every query from one immutable Table behind
// one atomic pointer: neither the loss of the ledger nor a slow disk touches a
// query. Update and Change.Take swap the table; Update never goes back to an
// older (Term, Seq) of a shard, across a restart neither, since the newest state
// is kept in a snapshot file and served before anything else is up. The snapshot
// is written after the swap: a process that is killed in between serves, after
// its restart, the snapshot before until the ledger is read again.
//
// Provider is the same as a providers.Provider: its control plane is the
// ledger's answers.
//
// Server and Provider are safe for concurrent use.
package authority

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Options is what a Server needs beside its config.
type Options struct {
	// DataDir is the folder of the snapshot; it is made if it does not exist.
	DataDir string
	// Sealed says that DataDir takes no writes: what its snapshot holds is served
	// all the same, and New fails where it has none. Snapshots are tried on, and
	// no serial is raised that could not be kept.
	Sealed bool
	// Start holds the answers for services that neither the snapshot nor the
	// ledger has: what is served on the very first start.
	Start []steering.Answer
	// Locations are those of the services whose answers depend on the client, by
	// the service's canonical name.
	Locations map[string][]Location
	// HTTPS holds what the services' HTTPS records say, of those that have one.
	HTTPS map[string]HTTPS
	// Hosts are those that ALIAS answers may come to lead to, canonical: they are
	// looked up ahead, so that an answer that moves there has addresses at once.
	Hosts []string
	// Region names what a service (its canonical name) answers, given its
	// addresses or host name, for what is counted and logged: a region, or
	// several. "", and nil, are no name.
	Region func(service string, data []string) string
	Log    zerolog.Logger
	// Swapped is called after a table with this version of a shard has become
	// the one that is served; nil is allowed. It must not call Update.
	Swapped func(term regions.Term, seq uint64, shard int)
}

// Server serves the zones of a Config.
type Server struct {
	config  Config // with its defaults
	given   Config // without; reloading guards it, and what Take changes of config
	opts    Options
	table   atomic.Pointer[Table]
	rcodes  *rcodes
	tallies *tallies // by zone and service
	saver   saver
	geo     database
	rules   ecs
	aliases *aliases // nil: no resolver is configured
	limits  *limiter // nil: nobody is limited
	cookies *cookies // nil: they are off
	// kept are the serials of the snapshot, where New raised one beyond the
	// derived one; else nil.
	kept    map[key]serial
	ready   chan struct{}
	open    []listener // by Listen; Run takes them over
	addrs   atomic.Pointer[[]net.Addr]
	stale   atomic.Pointer[string] // see Stale
	taps    map[string]*tap        // of queries that are observed; does not change
	queries *queryLog              // nil: none
	// counters are of the loops over UDP; written before ready is closed.
	counters []*counter
	seats    *seats
	proxies  proxies
	// beginWithin is how long a connection may take to its first query.
	beginWithin time.Duration
	// tls is nil without DNS over TLS, certificate what it shows.
	tls         *tls.Config
	certificate *certificate
	queryRooms  sync.Pool // of *[]byte
	desks       sync.Pool // of *desk

	reloading sync.Mutex

	mu    sync.Mutex // of Update, Take and Answer; queries never take it
	state *state
}

// New reads the zone files and the snapshot. It binds nothing yet, and leaves the
// database of countries to Run, which does not wait for it.
func New(c Config, o Options) (*Server, error) {
	var problems []error
	c.Check(func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	})
	if o.DataDir == "" {
		problems = append(problems, errors.New("no data folder for the snapshot"))
	}
	var files []*ZoneFile
	for _, z := range c.Zones {
		f, err := ReadZone(z)
		problems = append(problems, err)
		files = append(files, f)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	jar, err := newCookies(c.Cookies)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	now := time.Now()
	if !o.Sealed {
		if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("authority: make the data folder: %w", err)
		}
	}
	hosts, err := newAliases(c.Alias, o)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	geo := newDatabase(c.GeoFile, o.Locations, o.Log)
	st, err := newFlatState(files, hosts.flats(now), o.Start, o.Log, now)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	st.book.region, st.access = o.Region, c.access()
	if err := st.locate(geo.places, o.HTTPS); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	saved, found, aside, err := loadSnapshot(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if st.hold = o.Sealed; o.Sealed && !found {
		return nil, fmt.Errorf("authority: no snapshot is in %s, which takes no writes: there is nothing to serve", o.DataDir)
	}
	if aside != nil {
		o.Log.Error().Err(aside).Msg("the answers of before the restart are lost; the ledger will give them again")
	}
	if found {
		st.restore(saved, now)
	}
	s := &Server{config: c.withDefaults(), given: c, opts: o, state: st, geo: geo, rules: c.ECS.rules(), ready: make(chan struct{}), rcodes: newRcodes(), tallies: newTallies(), aliases: hosts}
	s.limits, s.cookies = c.RateLimit.limiter(), jar
	s.proxies, s.beginWithin = c.Proxy.proxies(), defaultBegin
	s.seats = newSeats(s.config.TCPConnections, s.config.TCPConnectionsPerClient)
	s.queryRooms.New = func() any { room := make([]byte, queryRoom); return &room }
	if len(c.TLS.Listen) > 0 {
		s.certificate = newCertificate(c.TLS, o.Log)
		s.certificate.first(now)
		s.tls = s.certificate.secure()
	}
	s.makeTaps()
	s.saver = saver{dir: o.DataDir, log: o.Log, wake: make(chan struct{}, 1)}
	kept := maps.Clone(st.serials)
	s.table.Store(st.build(false))
	if s.aliases != nil {
		s.aliases.use = s.renew
		s.leads()
	}
	for apex, was := range kept {
		if st.serials[apex].Offset != was.Offset {
			s.kept = kept
		}
	}
	s.saver.offer(st.snapshot())
	return s, nil
}

// Listen opens every address ahead of Run, which then needs no privilege to: a
// process that may have low ports only now calls it. It is to be called before
// Run, and at most once; Run without it opens them itself.
func (s *Server) Listen() error {
	s.fitSeats(descriptors())
	open, err := s.listenAll()
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	s.open = open
	return nil
}

// Run listens on every address over UDP and TCP, or TLS, and serves until ctx ends; it
// returns nil then, and an error when an address can't be had or is lost. It
// is to be called once.
func (s *Server) Run(ctx context.Context) error {
	// A serial that this server raised by itself must not be forgotten once
	// somebody has seen it. Otherwise nothing waits for the disk.
	if s.kept != nil && s.saver.flush() != nil {
		s.mu.Lock()
		s.table.Store(s.unraised(s.kept))
		s.mu.Unlock()
	}
	if s.open == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	listeners := s.open
	group, ctx := errgroup.WithContext(ctx)
	addrs := make([]net.Addr, 0, 2*len(listeners))
	for _, l := range listeners {
		addrs = append(addrs, l.addrs()...)
		s.serve(ctx, group, l)
	}
	group.Go(func() error { s.seats.retire(ctx, s.config.TCPIdle); return nil })
	group.Go(func() error { s.saver.run(ctx); return nil })
	group.Go(func() error { s.geo.watch(ctx); return nil })
	group.Go(func() error { s.limits.tell(ctx, s.opts.Log); return nil })
	if s.certificate != nil {
		group.Go(func() error { s.certificate.watch(ctx); return nil })
	}
	s.runTaps(ctx, group.Go)
	if s.aliases != nil {
		s.warnOfItself()
		group.Go(func() error { s.aliases.run(ctx); return nil })
	}
	s.addrs.Store(&addrs)
	close(s.ready)
	if err := group.Wait(); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	fast, general := s.Answered()
	s.opts.Log.Info().Uint64("fast", fast).Uint64("general", general).Msg("queries over UDP that were answered")
	return nil
}

// sockets is how many UDP sockets share an address: without batches, all loops
// read one.
func (s *Server) sockets() int {
	if s.batched() {
		return s.config.Sockets
	}
	return 1
}

// Ready is closed when all listeners are open.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addrs returns the addresses that are listened on, UDP then TCP for each one
// in the config, then those of DNS over TLS; nil before Ready.
func (s *Server) Addrs() []net.Addr {
	if a := s.addrs.Load(); a != nil {
		return *a
	}
	return nil
}

// Update takes over the shards that are newer than what is served, and swaps
// the table. The others are ignored. The time left of an answer runs from
// this call on. The snapshot is saved soon after, by Run.
func (s *Server) Update(shards []steering.Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var taken []steering.Shard
	for _, shard := range shards {
		if s.state.take(shard, now) {
			taken = append(taken, shard)
		}
	}
	if len(taken) == 0 {
		return
	}
	s.table.Store(s.state.build(true))
	s.leads()
	s.saver.offer(s.state.snapshot())
	if s.opts.Swapped == nil {
		return
	}
	for _, shard := range taken {
		s.opts.Swapped(shard.Term, shard.Seq, shard.ID)
	}
}

// Answer returns what is served for a service's name; nil if it is none.
func (s *Server) Answer(name string) []steering.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.answers(name)
}

// Shards returns the newest version of each shard that was taken over, by ID,
// those of the snapshot included, without their State: what is left when the
// ledger is lost.
func (s *Server) Shards() []steering.Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]steering.Shard, 0, len(s.state.shards))
	for _, saved := range s.state.snapshot().Shards {
		out = append(out, steering.Shard{ID: saved.ID, Term: saved.Term, Seq: saved.Seq, Answers: slices.Clone(saved.Answers)})
	}
	return out
}

// Table returns what is served at this moment.
func (s *Server) Table() *Table { return s.table.Load() }
