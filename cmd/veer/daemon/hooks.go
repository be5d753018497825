package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/callcheck"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/hook"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

const (
	// hookRate and hookBurst bound, in a second and at once, how often one hook
	// may speak, and how often the log tells that one thing was refused.
	hookRate, hookBurst = 5.0, 20.0
	// hookDrains bounds the drains of one hook that are in force at a time.
	hookDrains = 50
	hookWait   = 10 * time.Second
)

// gates bound how often what has a name happens here. It is safe for concurrent
// use, and for no more names than the config has.
type gates struct {
	mu  sync.Mutex
	all map[string]*bucket
}

func (g *gates) pass(name string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = map[string]*bucket{}
	}
	b := g.all[name]
	if b == nil {
		b = &bucket{left: hookBurst}
		g.all[name] = b
	}
	return b.take(now, hookRate, hookBurst)
}

// hooked takes what a hook says.
func (d *daemon) hooked(r *http.Request, name string) answer {
	h, ok := d.config().Hooks[name]
	if !ok {
		return reject(http.StatusNotFound, metrics.CallUnknown, "there is no hook of this name")
	}
	var token string
	if h.Kind == config.HookAlertmanager { // a stranger need not be read to the end
		var err error
		if token, err = tokenFrom("hooks."+name, h.TokenFile, h.TokenEnv); err != nil {
			return broken(err)
		}
		if !bears(r, token) {
			return reject(http.StatusUnauthorized, metrics.CallRefused, "the hook's token is needed: Authorization: Bearer TOKEN")
		}
	}
	body, bad := bodyOf(r, hook.MaxBody, token)
	if bad.code != 0 {
		return bad
	}
	var m cluster.Message
	if h.Kind == config.HookSigned {
		if a := stamp(&m, r.Header, name, h, body); a.code != 0 {
			return a
		}
	}
	if !d.gates.pass(name, time.Now()) {
		return reject(http.StatusTooManyRequests, metrics.CallLimited, "the hook speaks more than %.0f times a second", hookRate)
	}
	say := d.alerts
	if h.Kind == config.HookSigned {
		say = d.statements
	}
	said, unmatched, err := say(h, body)
	if err != nil {
		return reject(http.StatusBadRequest, metrics.CallBad, "%v", err)
	}
	m.Said = said
	ctx, cancel := context.WithTimeout(r.Context(), hookWait)
	defer cancel()
	return d.heed(ctx, name, h, m, unmatched)
}

// stamp proves who signed a message, and takes down what tells it from others.
func stamp(m *cluster.Message, header http.Header, name string, h config.Hook, body []byte) answer {
	text, err := secretFrom("hooks."+name+".secret", h.SecretFile, h.SecretEnv)
	if err != nil {
		return broken(err)
	}
	secret, err := hook.ParseSecret(text)
	if err != nil {
		return broken(fmt.Errorf("hooks.%s: %w", name, err))
	}
	s, err := hook.Verify(secret, header, body)
	switch {
	case errors.Is(err, hook.ErrSignature):
		return reject(http.StatusUnauthorized, metrics.CallRefused, "%v", err)
	case err != nil:
		return reject(http.StatusBadRequest, metrics.CallBad, "%v", err)
	}
	m.ID, m.Number, m.Secret = s.ID, s.At, secret.Name()
	return answer{}
}

// alerts are what a notification says by the hook's rules. Alerts that no rule
// is about, or whose labels name nothing of the config, are counted.
func (d *daemon) alerts(h config.Hook, body []byte) (out []cluster.Statement, unmatched int, err error) {
	all, err := hook.Alerts(body)
	if err != nil {
		return nil, 0, err
	}
	for _, a := range all {
		matched := false
		for i, rule := range h.Rules {
			t, ok := rule.Target(a.Labels)
			if !ok || !d.there(t) {
				continue
			}
			matched = true
			s := cluster.Statement{Key: fmt.Sprintf("%s-%d", a.Key, i), Target: t, Why: a.Why}
			if a.Firing {
				s.Health = checks.Down
				if rule.Says == checks.Degraded.String() {
					s.Health = checks.Degraded
				}
			}
			out = upsert(out, s)
		}
		if !matched {
			unmatched++
		}
	}
	return out, unmatched, nil
}

// statements are what a signed message says.
func (d *daemon) statements(h config.Hook, body []byte) (out []cluster.Statement, unmatched int, err error) {
	all, err := hook.Statements(body)
	if err != nil {
		return nil, 0, err
	}
	for _, one := range all {
		t := steering.Target{Service: providers.CanonicalName(one.Service), Region: regions.Name(one.Region)}
		if one.Address != "" {
			t.Address = config.EndpointAddress(one.Address)
		}
		if !slices.Contains(h.Services, t.Service) || !d.there(t) {
			unmatched++
			continue
		}
		sum := sha256.Sum256([]byte(targetText(t)))
		out = upsert(out, cluster.Statement{Key: hex.EncodeToString(sum[:8]), Target: t, Health: one.Health, Why: one.Why})
	}
	return out, unmatched, nil
}

// upsert keeps the last statement of each key.
func upsert(all []cluster.Statement, s cluster.Statement) []cluster.Statement {
	i := slices.IndexFunc(all, func(is cluster.Statement) bool { return is.Key == s.Key })
	if i < 0 {
		return append(all, s)
	}
	all[i] = s
	return all
}

// there reports whether the config has what a target names.
func (d *daemon) there(t steering.Target) bool {
	_, policy := d.scene.rules()
	return slices.ContainsFunc(policy.Services, func(s steering.Service) bool { return s.Name == t.Service && concerns(t, s) })
}

// heed does what a hook says: it votes, or drains.
func (d *daemon) heed(ctx context.Context, name string, h config.Hook, m cluster.Message, unmatched int) answer {
	cl := d.cluster.Load()
	if cl == nil || d.takenOver() {
		return reject(http.StatusServiceUnavailable, metrics.CallFailed, "the ledger cannot be written from here now: call another region's listener, or try again")
	}
	said := m.Said
	if h.Act == config.HookVote {
		m.Drop = d.book.Forgotten(name, h.Silence)
	} else {
		m.Said = nil // the orders in the ledger tell what is drained
	}
	var err error
	if h.Act == config.HookVote || m.ID != "" {
		switch err = cl.Tell(ctx, name, m); {
		case errors.Is(err, cluster.ErrReplayed):
			return reject(http.StatusConflict, metrics.CallReplayed, "a message with this webhook-timestamp and webhook-id, or with a later timestamp, was taken before; send it again with the time of now")
		case errors.Is(err, cluster.ErrHookFull):
			return reject(http.StatusTooManyRequests, metrics.CallLimited, "%v", cluster.ErrHookFull)
		case err != nil:
			return unwritten(err)
		}
	}
	taken := answer{code: http.StatusOK, outcome: metrics.CallTaken, text: fmt.Sprintf("taken: %d heeded, %d that are about nothing in the config", len(said), unmatched)}
	if h.Act == config.HookVote {
		return taken
	}
	p := d.picture()
	if p.view.Overrides, err = cl.Orders(ctx); err != nil {
		return unwritten(err)
	}
	var refused []string
	for _, s := range said {
		why, err := d.hookDrain(ctx, cl, p, name, h, s)
		if err != nil {
			return unwritten(err)
		}
		if why != "" {
			refused = append(refused, why)
		}
	}
	if len(refused) > 0 {
		return reject(http.StatusConflict, metrics.CallNotDone, "not drained: %s", list(refused))
	}
	return taken
}

func unwritten(err error) answer {
	return answer{http.StatusServiceUnavailable, metrics.CallFailed, "the ledger does not answer: try again, or call another region's listener", err}
}

// hookDrain drains what a hook says is not up, and ends the drain when it is, or
// when the hook takes it back. A drain of the last endpoint is refused, as an
// operator's is (property 4). Several of one target are kept apart by the
// statement's key, so that one alert's end does not end another's drain. The
// picture has the orders that are in etcd now, and gets what is added.
func (d *daemon) hookDrain(ctx context.Context, cl *cluster.Cluster, p *picture, name string, h config.Hook, s cluster.Statement) (refused string, err error) {
	by, suffix := "hook "+name, "-"+name+"-"+s.Key
	var own, mine []controller.Order
	for _, o := range p.view.Overrides {
		if o.By != by {
			continue
		}
		own = append(own, o)
		if strings.HasSuffix(o.ID, suffix) {
			mine = append(mine, o)
		}
	}
	if s.Health == checks.Down || s.Health == checks.Degraded {
		if slices.ContainsFunc(mine, func(o controller.Order) bool { return o.Until.Round(0).Sub(p.now.Round(0)) > h.For/2 }) {
			return "", nil
		}
		o := newOrder(orderOf(by, s, h.For))
		o.ID += suffix
		if len(mine) == 0 {
			if len(own) >= hookDrains {
				return fmt.Sprintf("%s: the hook has %d drains in force, the most that it may", targetText(s.Target), len(own)), nil
			}
			about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(svc steering.Service) bool { return !concerns(s.Target, svc) })
			if problem := p.refusal(o.Override, about); problem != nil {
				return problem.What, nil
			}
		}
		if err := cl.AddOrder(ctx, o); err != nil && !errors.Is(err, cluster.ErrOrderExists) {
			return "", err
		}
		p.view.Overrides = append(p.view.Overrides, o)
		d.orderLine(o, o.By, o.Why).Dur("for_ms", h.For).Msg("order given")
	}
	for _, o := range mine { // each was renewed, or is over
		if err := cl.EndOrder(ctx, o.ID, by, endedBecause(s)); err != nil && !errors.Is(err, cluster.ErrNoOrder) {
			return "", err
		}
		d.orderLine(o, by, endedBecause(s)).Msg("order ended")
	}
	return "", nil
}

func endedBecause(s cluster.Statement) string {
	switch s.Health {
	case checks.Up:
		return "it is up"
	case checks.Unknown:
		return "resolved"
	}
	return "renewed"
}

// startHookVantages votes for each hook that is a vantage. Whichever process gets
// its seat votes; the others stand by, and have heard the same.
func (d *daemon) startHookVantages() error {
	for _, name := range d.config().HookVantages() {
		p, err := d.newHookVantage(name)
		if err != nil {
			return fmt.Errorf("the hook %s: %w", name, err)
		}
		d.parts.start("hook "+name, p.Run)
	}
	return nil
}

func (d *daemon) newHookVantage(name string) (*prober.Prober, error) {
	says := d.book.Hook(name, d.config().Hooks[name].Silence)
	var jobs []prober.Job
	for _, p := range d.config().HookEndpoints(name) {
		jobs = append(jobs, prober.Job{Endpoint: p.Endpoint, Target: p.Target, Monitor: p.Monitor.MonitorConfig, Prober: says})
	}
	return prober.New(prober.Options{
		Vantage: regions.Name(name), Jobs: jobs, Booth: d.joined,
		Log: d.o.Log.With().Str("part", "hook").Str("name", name).Logger(), Renew: d.c.Cluster.Defaults().VoteLease / 5, Seed: uint64(d.began.UnixNano()),
	})
}

var _ cluster.Ear = ear{}

// deaf is the book of a process that hears nothing, for `veer check`.
func deaf() *callcheck.Book { return callcheck.NewBook(nil, nil, nil) }
