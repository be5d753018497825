package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// localName is the file in data_dir that keeps the orders of `--local`.
const localName = "local-orders.json"

// apartEvery is how often it is looked at whether this process is cut off, and
// whether an order of its own has ended.
const apartEvery = time.Second

// detached is what makes this process's authorities answer something else than
// the ledger says: the orders of `veer drain --local`, a takeover's, and
// `isolation: local`. Neither needs a quorum, and none of it is in a zone's
// serial or in the snapshot.
type detached struct {
	mu     sync.Mutex
	orders []controller.Order // of --local, in the order in which they were given
	taken  *taken             // nil: no takeover lasts here
	lonely isolation
	cut    bool
	// seen is what narrows the answers; nil: nothing does.
	seen map[regions.EndpointID]checks.Health
}

// isolation counts how long this process has been cut off from a quorum, on the
// monotonic clock. A time in which the process stood still does not count: what
// it did not ask for it cannot have missed.
type isolation struct {
	after        time.Duration
	last, proven time.Time
	cut          time.Duration
}

// tick takes the time, and when a quorum last answered; it returns whether the
// process counts as cut off.
func (i *isolation) tick(now, proven time.Time) bool {
	step := min(now.Sub(i.last), 2*apartEvery)
	if i.last.IsZero() {
		step = 0
	}
	i.last = now
	if proven.After(i.proven) {
		i.proven, i.cut = proven, min(max(now.Sub(proven), 0), 2*apartEvery)
	} else {
		i.cut += step
	}
	return i.cut >= i.after
}

// hear takes down that the ledger is heard.
func (i *isolation) hear() { i.cut = 0 }

// localOrders is what localName holds.
type localOrders struct {
	Version int                `json:"version"`
	Orders  []controller.Order `json:"orders"`
}

func (l localOrders) check() error {
	if l.Version != 1 {
		return fmt.Errorf("version %d: expected 1", l.Version)
	}
	return checkOrders(l.Orders, steering.Drain)
}

// recallApart reads what this host's operator ordered before the restart. A
// file that cannot be read moves nothing and stops nothing.
func (d *daemon) recallApart() error {
	d.apart.lonely.after = d.config().Isolation.After
	l, found, err := readKept[localOrders](d.keptPath(localName))
	switch {
	case errors.Is(err, errNotKept):
		d.o.Log.Error().Err(err).Msg("the orders of veer drain --local are lost: give them again")
	case err != nil:
		return err
	case found:
		d.apart.orders = l.Orders
	}
	return d.recallTakeover()
}

func (d *daemon) keptPath(name string) string { return filepath.Join(d.c.Host.DataDir, name) }

// keepApart looks after it until ctx ends.
func (d *daemon) keepApart(ctx context.Context) error {
	var writing sync.WaitGroup
	defer writing.Wait()
	d.resumeTakeover(ctx, &writing)
	if d.config().Isolation.Mode == config.IsolationLocal && d.roles[RoleAuthority] && !d.roles[RoleProber] {
		d.o.Log.Warn().Msg(noVantage)
	}
	tick := time.NewTicker(apartEvery)
	defer tick.Stop()
	for {
		var changed <-chan struct{}
		if cl := d.cluster.Load(); cl != nil && d.isCut() {
			changed = cl.Changed()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-changed:
		}
		d.look(time.Now())
		d.retryTakeover(ctx, &writing)
	}
}

const noVantage = "isolation: local cannot narrow answers here: this process has no vantage (role prober); cut off, its answers stay as they are"

func (d *daemon) isCut() bool {
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	return d.apart.cut
}

// look sees whether the process is cut off, and which orders have ended.
func (d *daemon) look(now time.Time) {
	a := &d.apart
	a.mu.Lock()
	defer a.mu.Unlock()
	ended := d.endExpired(now)
	was, before := a.cut, a.seen
	var proven time.Time
	if cl := d.cluster.Load(); cl != nil {
		proven = cl.AsOf()
	}
	a.cut = a.lonely.tick(now, proven)
	a.seen = nil
	if a.cut {
		a.seen = d.seenHere()
	}
	if a.cut != was {
		d.sayCut(a.cut)
	}
	if ended || !maps.Equal(before, a.seen) || (before == nil) != (a.seen == nil) {
		laid := d.laid()
		d.lay()
		d.sayLaid(laid)
	}
}

// staleReason is what answers carry while the process is cut off.
const staleReason = "cut off from the cluster: its last answer"

// sayCut logs that the process is cut off, or is not any more, and has the
// authorities' answers say so.
func (d *daemon) sayCut(cut bool) {
	for _, s := range d.servers {
		if cut {
			s.Stale(staleReason)
		} else {
			s.Stale("")
		}
	}
	switch {
	case !cut:
		d.o.Log.Info().Msg("the cluster is heard again: the ledger's answers hold")
	case len(d.servers) > 0 && d.apart.seen != nil:
		d.o.Log.Warn().Dur("for_ms", d.apart.lonely.cut).Msg("cut off from the cluster; isolation: local leaves out what only this vantage sees down")
	default:
		d.o.Log.Warn().Dur("for_ms", d.apart.lonely.cut).Msg("cut off from the cluster; answers stay as they are")
	}
}

// sayLaid logs what is answered apart from the ledger now, where that changed.
func (d *daemon) sayLaid(was map[string][]steering.Answer) {
	is := d.laid()
	n := 0
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if sameData(setsOf(was[name]), setsOf(is[name])) {
			continue
		}
		if n++; n <= maxShown {
			d.o.Log.Warn().Str("service", name).Strs("answers", addressesOf(is[name])).Strs("ledger", addressesOf(d.ledgerHere(name))).
				Msg("this server answers apart from the ledger")
		}
	}
	if n > maxShown {
		d.o.Log.Warn().Int("more", n-maxShown).Msg("and more answers apart from the ledger")
	}
}

// seenHere is what this process's own vantage sees; nil: isolation: local does
// not narrow here. A vantage that doubts itself sees nothing.
func (d *daemon) seenHere() map[regions.EndpointID]checks.Health {
	p := d.prober.Load()
	if d.config().Isolation.Mode != config.IsolationLocal || p == nil {
		return nil
	}
	out := map[regions.EndpointID]checks.Health{}
	ballot := p.Ballot()
	if ballot.Suspect {
		return out
	}
	for _, v := range ballot.Votes {
		out[v.Endpoint] = v.Health
	}
	return out
}

// rejoined ends the narrowing: the ledger is heard, and holds at once.
func (d *daemon) rejoined() {
	a := &d.apart
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lonely.hear()
	if !a.cut {
		return
	}
	a.cut, a.seen = false, nil
	d.sayCut(false)
	d.lay()
}

// again lays what is apart over answers that are known with their states now.
func (d *daemon) again() {
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	if len(d.apart.here()) > 0 {
		d.lay()
	}
}

// here are all orders that hold on this host only.
func (a *detached) here() []controller.Order {
	if a.taken == nil {
		return a.orders
	}
	return slices.Concat(a.orders, a.taken.file.Orders)
}

// lay has the authorities answer apart from the ledger, as far as something
// asks for it. The caller holds apart's lock.
func (d *daemon) lay() {
	over := d.overlay()
	for _, s := range d.servers {
		s.Lay(over)
	}
}

// overlay is what to lay; nil: nothing. The caller holds apart's lock, or is
// alone.
func (d *daemon) overlay() authority.Overlay {
	orders, seen := slices.Clone(d.apart.here()), d.apart.seen
	if len(orders) == 0 && seen == nil {
		return nil
	}
	_, policy := d.scene.rules()
	state, standing := d.scene.states(), d.standingOrders()
	return func(ledger []steering.Answer) []steering.Answer {
		now := time.Now()
		out := ledger
		if mine := inForce(orders, now); len(mine) > 0 {
			out, _ = steering.Ordered(policy, state, out, inForce(standing, now), mine)
		}
		if seen != nil {
			out = steering.Narrow(policy, out, seen)
		}
		return out
	}
}

// standingOrders are those of the ledger, as last heard.
func (d *daemon) standingOrders() []controller.Order {
	if cl := d.cluster.Load(); cl != nil {
		return cl.View().Overrides
	}
	return nil
}

// laid is what the authorities of this process answer apart from the ledger, by
// service.
func (d *daemon) laid() map[string][]steering.Answer {
	out := map[string][]steering.Answer{}
	for _, s := range d.servers {
		mine := map[string][]steering.Answer{}
		for _, a := range s.Laid() {
			mine[a.Name] = append(mine[a.Name], a)
		}
		maps.Copy(out, mine)
	}
	return out
}

// ledgerHere is what the ledger says of a service that this process answers;
// nil: it answers it not.
func (d *daemon) ledgerHere(name string) []steering.Answer {
	for _, s := range d.servers {
		if held := s.Ledger(name); len(held) > 0 {
			return held
		}
	}
	return nil
}

// statusApart tells of it; nil: there is nothing to tell.
func (d *daemon) statusApart() *api.Apart {
	a := &d.apart
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &api.Apart{Isolation: d.config().Isolation.Mode, Narrows: a.seen != nil, Orders: append([]controller.Order{}, a.orders...), Services: []string{}}
	if a.cut {
		out.CutOff = a.lonely.cut
	}
	if a.taken != nil {
		out.Takeover = a.taken.told()
	}
	for _, name := range slices.Sorted(maps.Keys(d.laid())) {
		out.Services = append(out.Services, short(name))
	}
	if !a.cut && len(out.Orders) == 0 && out.Takeover == nil {
		return nil
	}
	return out
}

// inForceOrders are those that have not ended.
func inForceOrders(orders []controller.Order, now time.Time) []controller.Order {
	out := []controller.Order{}
	for _, o := range orders {
		if o.Until.IsZero() || o.Until.Round(0).After(now.Round(0)) {
			out = append(out, o)
		}
	}
	return out
}

// laidOf is what is answered here of one service apart from the ledger.
func (d *daemon) laidOf(name string) []steering.Answer {
	for _, s := range d.servers {
		if laid := s.LaidOf(name); len(laid) > 0 {
			return laid
		}
	}
	return nil
}
