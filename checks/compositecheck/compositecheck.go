// Package compositecheck makes one check of several: an endpoint works while
// all, any, or so many of its parts do. The parts are probed at the same time,
// each at its own port, and all within the one probe's time-out; their own
// intervals, time-outs and thresholds do not count here, their limits of
// slowness do.
//
// The health is checks.Combine's: that of the need-th best part, whatever the
// unknown parts turn out to be, and unknown where that depends on them.
package compositecheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// Part is one check of a composite.
type Part struct {
	// Name is the part's in Config.Monitors.
	Name   string
	Prober checks.Prober
	// Port is the port to probe; 0 is the protocol's default.
	Port uint16
	// Slow is the latency above which a part that is up counts as degraded; 0
	// is no limit.
	Slow time.Duration
}

// Prober is a checks.Prober, safe for concurrent use if its parts are.
type Prober struct {
	parts []Part
	need  int
}

// New makes a prober of a config that Check finds nothing wrong with, and of
// its parts in the config's order.
func New(c Config, parts []Part) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("composite check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if !slices.EqualFunc(c.Monitors, parts, func(name string, p Part) bool { return name == p.Name && p.Prober != nil }) {
		return nil, errors.New("composite check: the parts are not the monitors that the config names")
	}
	need, err := c.need()
	return &Prober{parts: slices.Clone(parts), need: need}, err
}

// Probe probes every part and waits for all of them. The latency and the
// evidence are those of the parts that made the result; of several, the
// latency is the longest and the evidence the first one's.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	a := attempt.Begin("composite of " + p.names() + " at " + attempt.Clip(t.Host, 80))
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	results := make([]checks.Result, len(p.parts))
	var wg sync.WaitGroup
	for i, part := range p.parts {
		wg.Go(func() { results[i] = part.probe(ctx, t) })
	}
	wg.Wait()
	return p.judge(a, results)
}

func (part Part) probe(ctx context.Context, t checks.Target) checks.Result {
	r := part.Prober.Probe(ctx, checks.Target{Name: part.Name + "@" + t.Host, Host: t.Host, Port: part.Port})
	if r.Health == checks.Up && part.Slow > 0 && r.Latency > part.Slow {
		r.Health = checks.Degraded
		r.Reason += ", slower than " + part.Slow.String()
	}
	return r
}

func (p *Prober) judge(a *attempt.Attempt, results []checks.Result) checks.Result {
	var healths []checks.Health
	for _, r := range results {
		healths = append(healths, r.Health)
	}
	health := checks.Combine(p.need, healths)
	made := makers(health, healths)
	a.Evidence = results[made[0]].Evidence
	a.Evidence.Detail = p.summary(healths)
	r := a.End(health, "has %s; expected %s: %s", counts(healths), p.expected(), p.explain(made, results))
	r.Latency = 0
	for _, i := range made {
		r.Latency = max(r.Latency, results[i].Latency)
	}
	return r
}

// makers are the parts that made the result, in order: those that carry a
// whole that is up, and for any other health those that keep it from a better
// one, the unknown ones first where they leave it open.
func makers(health checks.Health, healths []checks.Health) []int {
	var made []int
	for i, h := range healths {
		if h == health || health == checks.Degraded && h == checks.Down {
			made = append(made, i)
		}
	}
	return made
}

// explain says of each part what it is, those that made the result first, and
// why, where it is not up.
func (p *Prober) explain(made []int, results []checks.Result) string {
	order := slices.Clone(made)
	for i := range results {
		if !slices.Contains(made, i) {
			order = append(order, i)
		}
	}
	reasons := 0
	for _, r := range results {
		if r.Health != checks.Up {
			reasons++
		}
	}
	var texts []string
	for _, i := range order {
		text := p.parts[i].Name + " is " + results[i].Health.String()
		if results[i].Health != checks.Up {
			text += " (" + attempt.Clip(results[i].Reason, max(320/reasons, 40)) + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// counts says how many parts are what: "1 of 2 parts up, 1 down".
func counts(healths []checks.Health) string {
	var count [checks.Up + 1]int
	for _, h := range healths {
		count[h]++
	}
	text := fmt.Sprintf("%d of %d parts up", count[checks.Up], len(healths))
	for _, h := range []checks.Health{checks.Degraded, checks.Down, checks.Unknown} {
		if count[h] > 0 {
			text += fmt.Sprintf(", %d %s", count[h], h)
		}
	}
	return text
}

func (p *Prober) expected() string {
	switch p.need {
	case len(p.parts):
		return "all"
	case 1:
		return "any"
	}
	return fmt.Sprintf("%d of %d", p.need, len(p.parts))
}

func (p *Prober) names() string {
	names := make([]string, len(p.parts))
	for i, part := range p.parts {
		names[i] = part.Name
	}
	return attempt.Clip(strings.Join(names, ", "), 120)
}

func (p *Prober) summary(healths []checks.Health) string {
	texts := make([]string, len(healths))
	for i, h := range healths {
		texts[i] = p.parts[i].Name + " " + h.String()
	}
	return strings.Join(texts, ", ")
}
