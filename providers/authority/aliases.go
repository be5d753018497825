package authority

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// How look-ups are made.
const (
	// mostLooking is how many hosts are looked up at once.
	mostLooking = 32
	// gather is how long outcomes are waited for to come into one table together.
	gather = 10 * time.Millisecond
	// noneDue is when to look around where nothing is due.
	noneDue = time.Minute
)

// aliases keeps what the hosts of ALIAS answers lead to. It asks the resolvers
// in the background; no query ever waits for it.
type aliases struct {
	rules aliasRules
	look  func(ctx context.Context, host string, typ uint16) (found, error)
	// use serves what hosts lead to from now on. It is called without the lock.
	use func(fresh map[string]*flat)
	dir string
	log zerolog.Logger
	// always are hosts that are looked up whether an answer leads to them or not.
	always []string
	wake   chan struct{} // of capacity 1

	mu      sync.Mutex
	targets map[string]*target
	// services are those that lead to each host of the answers.
	services map[string][]string
	looking  map[string]bool

	// Of run alone.
	served map[string]*flat
	unkept bool // the file is older than what is served
}

// newAliases reads the last good addresses. It is nil without a resolver.
func newAliases(c Alias, o Options) (*aliases, error) {
	if len(c.Resolver) == 0 {
		return nil, nil
	}
	c = c.withDefaults()
	saved, aside, err := loadTargets(o.DataDir)
	if err != nil {
		return nil, err
	}
	if aside != nil {
		o.Log.Error().Err(aside).Msg("the last good addresses of hosts are lost; until they are looked up, ALIAS answers fail")
	}
	return &aliases{
		rules: aliasRules{minTTL: c.MinTTL, maxTTL: c.MaxTTL, stale: c.StaleTTL},
		look:  resolver{servers: c.Resolver, timeout: c.Timeout}.resolve,
		dir:   o.DataDir, log: o.Log, always: o.Hosts, wake: make(chan struct{}, 1),
		targets: saved.targets(), looking: make(map[string]bool), served: make(map[string]*flat),
	}, nil
}

// flats is what is known at the start; nil for no aliases.
func (a *aliases) flats(now time.Time) *flats {
	if a == nil {
		return nil
	}
	return flatsOf(a.targets, a.rules, now)
}

// hold takes over which hosts are always looked up.
func (a *aliases) hold(always []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.always = always
}

// want tells to which hosts answers lead now. It returns those that are
// forgotten, since nothing may lead there any more.
func (a *aliases) want(services map[string][]string) (forgotten []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.services = services
	wanted := make(map[string]bool, len(services)+len(a.always))
	for _, host := range a.always {
		wanted[host] = true
	}
	for host := range services {
		wanted[host] = true
	}
	for host := range a.targets {
		if !wanted[host] {
			forgotten = append(forgotten, host)
			delete(a.targets, host)
		}
	}
	fresh := false
	for host := range wanted {
		if a.targets[host] == nil {
			a.targets[host], fresh = new(target), true
		}
	}
	if fresh {
		select {
		case a.wake <- struct{}{}:
		default: // it is awake already
		}
	}
	return forgotten
}

// looked is what looking a host up came to.
type looked struct {
	host string
	got  [len(aliasTypes)]finding
}

// run looks hosts up, each when it is due, until ctx ends.
func (a *aliases) run(ctx context.Context) {
	var flying sync.WaitGroup
	outcomes := make(chan looked)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := a.launch(ctx, &flying, outcomes)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			flying.Wait()
			a.keep(true)
			return
		case <-a.wake:
		case <-timer.C:
		case first := <-outcomes:
			a.take(ctx, collect(first, outcomes))
			a.keep(false)
		}
	}
}

// collect waits a little for more outcomes.
func collect(first looked, more <-chan looked) []looked {
	out := []looked{first}
	for end := time.After(gather); ; {
		select {
		case next := <-more:
			out = append(out, next)
		case <-end:
			return out
		}
	}
}

// launch begins the look-ups that are due, and returns when the next one is.
func (a *aliases) launch(ctx context.Context, flying *sync.WaitGroup, outcomes chan<- looked) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, next := time.Now(), noneDue
	for _, host := range slices.Sorted(maps.Keys(a.targets)) {
		t := a.targets[host]
		switch left := t.due.Sub(now); {
		case a.looking[host]:
		case left > 0:
			next = min(next, left)
		case len(a.looking) < mostLooking:
			a.looking[host] = true
			flying.Go(func() {
				out := a.lookup(ctx, host)
				select {
				case outcomes <- out:
				case <-ctx.Done():
				}
			})
		}
	}
	return next
}

// lookup looks up both families at once.
func (a *aliases) lookup(ctx context.Context, host string) looked {
	out := looked{host: host}
	var both sync.WaitGroup
	for i, typ := range aliasTypes {
		both.Go(func() { out.got[i].found, out.got[i].err = a.look(ctx, host, typ) })
	}
	both.Wait()
	return out
}

// take takes outcomes in, and serves what has changed.
func (a *aliases) take(ctx context.Context, batch []looked) {
	if ctx.Err() != nil {
		return // its end is no failure of a host
	}
	now, fresh := time.Now(), make(map[string]*flat)
	a.mu.Lock()
	for _, l := range batch {
		delete(a.looking, l.host)
		t := a.targets[l.host]
		if t == nil { // forgotten meanwhile
			delete(a.served, l.host)
			continue
		}
		a.refuseCircles(&l)
		was := t.addresses()
		n := t.learn(now, l.got, a.rules, rand.Float64()) // #nosec G404 -- to spread the load
		a.tell(l.host, t, n, was)
		a.unkept = a.unkept || n.addresses
		is, served := t.flat(now, a.rules), a.served[l.host]
		if is.equal(served) {
			continue
		}
		if is.stale() && served != nil && !served.stale() {
			a.log.Error().Str("host", l.host).Str("problem", t.problem).Msg("the addresses of a host are out of date and can't be looked up; they are served on as stale")
		}
		fresh[l.host], a.served[l.host] = is, is
	}
	a.mu.Unlock()
	if len(fresh) > 0 {
		a.use(fresh)
	}
}

// refuseCircles makes a failure of what leads back to a name that is answered
// with the host's own addresses: that would be this server's own answer.
func (a *aliases) refuseCircles(l *looked) {
	for i := range l.got {
		for _, name := range l.got[i].passed {
			if l.got[i].err == nil && slices.Contains(a.services[l.host], name) {
				l.got[i].err = fmt.Errorf("its CNAME records lead back to %s, which is answered with its addresses", name)
			}
		}
	}
}

// tell logs what is new of a host.
func (a *aliases) tell(host string, t *target, n news, was []netip.Addr) {
	is := t.addresses()
	if n.addresses {
		a.log.Info().Str("host", host).Strs("was", texts(was)).Strs("is", texts(is)).Msg("a host leads to other addresses now")
	}
	switch {
	case n.failed && len(is) == 0:
		a.log.Error().Str("host", host).Str("problem", t.problem).Msg("a host can't be looked up and never was; ALIAS answers that lead to it alone fail")
	case n.failed:
		a.log.Warn().Str("host", host).Str("problem", t.problem).Strs("served", texts(is)).Msg("a host can't be looked up; its last good addresses are served on")
	case n.well:
		a.log.Info().Str("host", host).Msg("a host can be looked up again")
	}
}

func texts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

// keep writes the last good addresses, where others are served than the file
// has, or in any case.
func (a *aliases) keep(always bool) {
	if !always && !a.unkept {
		return
	}
	a.mu.Lock()
	saved := saveTargets(a.targets)
	a.mu.Unlock()
	if err := aliasFile.save(a.dir, saved); err != nil {
		a.log.Error().Err(err).Msg("after a restart, addresses of before this change would be served until hosts are looked up")
		return
	}
	a.unkept = false
}

// stale reports whether any of the target's addresses should have been renewed.
func (t *target) stale(now time.Time) bool {
	return slices.ContainsFunc(t.families[:], func(f family) bool { return f.stale(now) })
}

// stale reports whether old addresses are served.
func (f *flat) stale() bool {
	return slices.ContainsFunc(f.families[:], func(f flatFamily) bool { return f.stale && len(f.addrs) > 0 })
}

func (f *flat) equal(o *flat) bool {
	if f == nil || o == nil {
		return f == o
	}
	for i, a := range f.families {
		b := o.families[i]
		if a.known != b.known || a.ttl != b.ttl || !a.until.Equal(b.until) || a.stale != b.stale || !slices.Equal(a.addrs, b.addrs) {
			return false
		}
	}
	return true
}

// AliasState is how one host of ALIAS answers stands.
type AliasState struct {
	Host string
	// Services lead to it now; there may be none.
	Services []string
	V4, V6   []string
	// Resolved is when a resolver told addresses last; zero: never.
	Resolved time.Time
	// Stale: they should have been renewed by now.
	Stale bool
	// Failed is how many look-ups in a row failed, and Problem why.
	Failed  int
	Problem string
}

// Known reports whether there is an address to answer with.
func (a AliasState) Known() bool { return len(a.V4)+len(a.V6) > 0 }

// Aliases tells of all hosts that are looked up, by name.
func (s *Server) Aliases() []AliasState {
	a := s.aliases
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	out := make([]AliasState, 0, len(a.targets))
	for host, t := range a.targets {
		services := slices.Clone(a.services[host])
		slices.Sort(services)
		out = append(out, AliasState{
			Host: host, Services: services, V4: texts(t.families[0].addrs), V6: texts(t.families[1].addrs),
			Resolved: t.resolved, Stale: len(t.addresses()) > 0 && t.failed > 0 && t.stale(now), Failed: t.failed, Problem: t.problem,
		})
	}
	slices.SortFunc(out, func(a, b AliasState) int { return strings.Compare(a.Host, b.Host) })
	return out
}

// renew serves what hosts lead to now.
func (s *Server) renew(fresh map[string]*flat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.renew(fresh)
	s.table.Store(s.state.build(false))
}

// leads tells the aliases where answers lead; the caller holds mu. A host that
// is new is looked up at once, and its answer fails until then.
func (s *Server) leads() {
	if s.aliases == nil {
		return
	}
	for _, host := range s.aliases.want(s.state.hosts()) {
		delete(s.state.flats.hosts, host)
	}
}

// warnOfItself says when a resolver is this server, which the config alone can't
// tell where it listens on all addresses.
func (s *Server) warnOfItself() {
	if s.aliases == nil {
		return
	}
	var own []netip.Addr
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return // then nobody is warned
	}
	for _, i := range interfaces {
		if n, ok := i.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, a)
			}
		}
	}
	for _, r := range s.config.Alias.Resolver {
		at, err := netip.ParseAddrPort(r)
		if err == nil && slices.ContainsFunc(s.config.Listen, func(l string) bool { return itself(at, l, own) }) {
			s.opts.Log.Error().Str("resolver", r).Msg("a resolver of alias.resolver is this server itself, which resolves nothing")
		}
	}
}
