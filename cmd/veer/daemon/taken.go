package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// takeoverName is the file in data_dir by which a takeover lasts.
const takeoverName = "takeover.json"

// takenAgain is how often a zone is tried again that could not be written.
const takenAgain = 15 * time.Second

// taken is a takeover that lasts on this host. apart's lock guards it.
type taken struct {
	file takeoverFile
	// writing is held while zones are written: what is written last is what was
	// ordered last. It is locked before apart's lock.
	writing sync.Mutex
	w       *controller.Takeover // nil: it writes no more, or not yet
	inForce int                  // orders, when zones were written last
	again   time.Time
}

// takeoverFile is what takeoverName holds.
type takeoverFile struct {
	Version int          `json:"version"`
	Told    api.Takeover `json:"takeover"`
	// Base are the last answers before the takeover, Touched the services that
	// its orders have been about: what else stands in a zone is left alone.
	Base    []steering.Answer  `json:"base"`
	Touched []string           `json:"touched"`
	Orders  []controller.Order `json:"orders"`
}

func (f takeoverFile) check() error {
	switch {
	case f.Version != 1:
		return fmt.Errorf("version %d: expected 1", f.Version)
	case f.Told.Term < 1 || f.Told.Term >= fenceBeyond || f.Told.Holder == "":
		return fmt.Errorf("term %d, holder %.60q: expected a term above 0 that can be reached, and a holder", f.Told.Term, f.Told.Holder)
	case len(f.Told.Orders) > 0:
		return errors.New("orders stand in the wrong place")
	}
	for _, a := range f.Base {
		if a.Name == "" || a.Type == "" || len(a.Data) == 0 {
			return fmt.Errorf("answer %.60q %.20q: expected a name, a type and data", a.Name, a.Type)
		}
	}
	return checkOrders(f.Orders, steering.Drain, steering.Force, steering.Freeze)
}

// fenceBeyond is a term that no election reaches.
const fenceBeyond = 1 << 62

// told is what the API tells of it.
func (t *taken) told() *api.Takeover {
	out := t.file.Told
	out.Zones, out.Orders = slices.Clone(out.Zones), slices.Clone(t.file.Orders)
	if out.Orders == nil {
		out.Orders = []controller.Order{}
	}
	return &out
}

// newTakeoverHolder names a takeover, or its going on after a restart: nobody
// else is meant by it.
func (d *daemon) newTakeoverHolder() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return string(d.c.Host.Region) + "-" + hex.EncodeToString(b[:])
}

// recallTakeover reads the takeover that lasts on this host.
func (d *daemon) recallTakeover() error {
	f, found, err := readKept[takeoverFile](d.keptPath(takeoverName))
	switch {
	case errors.Is(err, errNotKept):
		d.o.Log.Error().Err(err).Msg("a takeover lasts on this host, and its orders are lost: give veer takeover again, or end it with veer takeover --end")
	case err != nil:
		return err
	case found:
		d.apart.taken = &taken{file: f}
		d.o.Log.Warn().Uint64("term", uint64(f.Told.Term)).Str("by", f.Told.By).Str("why", f.Told.Why).Msg("a takeover lasts on this host")
	}
	return nil
}

// takenOver reports whether orders that are given here go to a takeover.
func (d *daemon) takenOver() bool {
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	return d.apart.taken != nil
}

// resumeTakeover goes on with a takeover after a restart, in a term of its own:
// a write of before it may still be under way. The caller waits for wg.
func (d *daemon) resumeTakeover(ctx context.Context, wg *sync.WaitGroup) {
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	t := d.apart.taken
	if t == nil || t.file.Told.Ending || t.file.Told.Over != "" || !t.writing.TryLock() { // its end is asked for already
		return
	}
	if err := d.arm(t, t.file.Told.Term+1); err != nil {
		t.writing.Unlock()
		d.o.Log.Error().Err(err).Msg("the takeover cannot go on: give veer takeover again")
		return
	}
	w := t.w
	wg.Go(func() {
		out := w.Claim(ctx)
		t.writing.Unlock()
		d.apart.mu.Lock()
		t.noteClaims(out)
		for _, z := range out {
			if errors.Is(z.Err, providers.ErrFenced) && t.w == w {
				t.w, t.file.Told.Over = nil, fmt.Sprintf("%s at %s: %s", short(z.Zone), z.Provider, z.Error)
				d.o.Log.Error().Err(z.Err).Msg("the takeover writes no more")
			}
		}
		if err := keepFile(d.keptPath(takeoverName), t.file); err != nil {
			d.o.Log.Error().Err(err).Msg("how the zones of the takeover stand is not kept")
		}
		d.apart.mu.Unlock()
		d.writeTaken(ctx, t)
	})
}

// arm gives a takeover a term, and what writes the zones that did not refuse
// it. The caller holds apart's lock.
func (d *daemon) arm(t *taken, term regions.Term) error {
	c, written, err := d.clients()
	if err != nil {
		return err
	}
	written = slices.DeleteFunc(slices.Clone(written), func(w controller.Written) bool {
		i := slices.IndexFunc(t.file.Told.Zones, func(z api.TakenZone) bool { return z.Provider == w.Name && z.Zone == zoneOf(w) })
		return i >= 0 && (t.file.Told.Zones[i].State == api.TakenRefused || t.file.Told.Zones[i].State == api.TakenNot)
	})
	holder := d.newTakeoverHolder()
	t.file.Told.Term, t.file.Told.Holder = term, controller.TakeoverHolder(holder)
	if err := keepFile(d.keptPath(takeoverName), t.file); err != nil {
		return err
	}
	t.w = controller.NewTakeover(controller.TakeoverOptions{Options: controller.Options{
		Owner: d.c.Owner, Policy: c.Policy(), Providers: written, ConfigHash: c.Hash(), Version: d.o.Version,
		Log: d.o.Log.With().Str("part", "takeover").Uint64("term", uint64(term)).Logger(),
	}, Term: term, Holder: holder})
	return nil
}

// retryTakeover writes again where a zone could not be written, or an order is
// over. The caller waits for wg.
func (d *daemon) retryTakeover(ctx context.Context, wg *sync.WaitGroup) {
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	t := d.apart.taken
	if t == nil || t.w == nil {
		return
	}
	now := time.Now()
	over := len(inForceOrders(t.file.Orders, now)) != t.inForce
	behind := slices.ContainsFunc(t.file.Told.Zones, func(z api.TakenZone) bool {
		return z.State == api.TakenLost || z.State == api.Taken && z.Error != ""
	})
	if !over && !behind || now.Before(t.again) {
		return
	}
	if over {
		d.lay()
	}
	t.again = now.Add(takenAgain)
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		d.writeTaken(ctx, t)
	})
}

// writeTaken brings the zones of a takeover to what is ordered now.
func (d *daemon) writeTaken(ctx context.Context, t *taken) []controller.ZoneOutcome {
	t.writing.Lock()
	defer t.writing.Unlock()
	d.apart.mu.Lock()
	w := t.w
	if w == nil || d.apart.taken != t {
		d.apart.mu.Unlock()
		return nil
	}
	now := time.Now()
	orders := inForceOrders(t.file.Orders, now)
	answers := d.takenAnswers(t, orders, now)
	t.inForce = len(orders)
	d.apart.mu.Unlock()

	out, err := w.Write(ctx, answers)

	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	t.note(out)
	if errors.Is(err, controller.ErrOver) {
		t.w, t.file.Told.Over = nil, err.Error()
		d.o.Log.Error().Err(err).Msg("the takeover writes no more")
	}
	if err := keepFile(d.keptPath(takeoverName), t.file); err != nil {
		d.o.Log.Error().Err(err).Msg("how the zones of the takeover stand is not kept")
	}
	return out
}

// takenAnswers are those of the services that the orders have been about.
func (d *daemon) takenAnswers(t *taken, orders []controller.Order, now time.Time) []steering.Answer {
	_, policy := d.scene.rules()
	answers, _ := steering.Ordered(policy, d.scene.states(), t.base(t.file.Touched...), inForce(d.standingOrders(), now), inForce(orders, now))
	return answers
}

// base are the last answers of services before the takeover.
func (t *taken) base(services ...string) []steering.Answer {
	var out []steering.Answer
	for _, a := range t.file.Base {
		if slices.Contains(services, a.Name) {
			out = append(out, a)
		}
	}
	return out
}

// noteClaims takes down what became of claims: the zones after a refusal were
// not tried.
func (t *taken) noteClaims(out []controller.ZoneOutcome) {
	t.note(out)
	for i, z := range t.file.Told.Zones {
		tried := slices.ContainsFunc(out, func(o controller.ZoneOutcome) bool { return o.Provider == z.Provider && o.Zone == z.Zone })
		if !tried && z.State != api.TakenRefused {
			t.file.Told.Zones[i].State = api.TakenNot
		}
	}
}

// note takes down how zones stand.
func (t *taken) note(outcomes []controller.ZoneOutcome) {
	for _, z := range outcomes {
		i := slices.IndexFunc(t.file.Told.Zones, func(is api.TakenZone) bool { return is.Provider == z.Provider && is.Zone == z.Zone })
		if i < 0 {
			continue
		}
		is := &t.file.Told.Zones[i]
		is.Error = z.Error
		switch {
		case z.Err == nil:
			is.State = api.Taken
			for _, r := range z.Refused {
				is.Error = fmt.Sprintf("%s is left alone: %s", short(r.Name), r.Why)
			}
			if z.Guard != "" {
				is.Error = z.Guard
			}
		case controller.Refuses(z.Err):
			is.State = api.TakenRefused
		case is.State != api.Taken:
			is.State = api.TakenLost
		}
	}
}
