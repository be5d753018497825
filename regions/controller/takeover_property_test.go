package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

// recorder takes down the writes that took effect.
type recorder struct {
	providers.Provider
	fences []providers.Fence
}

func (r *recorder) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	got, err := r.Provider.Apply(ctx, from, next, changes)
	if err == nil {
		r.fences = append(r.fences, got.Fence)
	}
	return got, err
}

// takeoverFault is planted into a story of takeovers.
type takeoverFault int

const (
	noFault takeoverFault = iota
	knowsNoTakeover
	unguarded
)

// takeovers plays a story drawn at random: leaders are elected and make passes
// under votes that change, two operators take over and order, takeovers end,
// and writes that were under way arrive late.
func takeovers(t *testing.T, rt *rapid.T, planted takeoverFault) (met []string, err error) {
	r := newRig(t, service(nameOf(0), 0, one, two), service(nameOf(1), 0, one, two))
	store := memory.NewStore(planZone)
	if planted == unguarded {
		store.Without(memory.Guarded, memory.Exact)
	}
	if planted == knowsNoTakeover {
		r.ended = math.MaxInt64
	}
	rec := &recorder{Provider: store.Provider("test")}
	r.o.Providers = []controller.Written{{Name: "v", Zone: planZone, Provider: rec}}
	ctx := context.Background()
	read := func() providers.Snapshot {
		have, err := store.Provider("test").Read(ctx, planZone)
		if err != nil {
			panic(err)
		}
		return have
	}
	pass := func() {
		c := controller.New(r.o)
		_, err := c.Once(ctx, controller.PassOptions{Wait: time.Minute, Look: func(context.Context) (controller.View, error) { return r.View(), nil }})
		if err != nil && !errors.Is(err, providers.ErrFenced) && !errors.Is(err, controller.ErrNotLeader) {
			panic(err)
		}
	}
	r.voteAll(checks.Up, one, two)
	pass()
	type late struct {
		from providers.Snapshot
		next providers.Fence
	}
	var operators [2]*controller.Takeover
	var underWay []late
	holds := "" // what the takeover in force has ordered of the first service
	var story []string
	for range rapid.IntRange(4, 24).Draw(rt, "steps") {
		op := rapid.IntRange(0, 1).Draw(rt, "operator")
		what := rapid.SampledFrom([]string{"pass", "vote", "take over", "take over", "order", "order", "end", "hold", "arrive"}).Draw(rt, "what")
		story = append(story, what)
		if holds != "" && (what == "pass" || what == "vote") {
			met = append(met, "a leader beside a takeover")
		}
		switch what {
		case "pass":
			pass()
		case "vote":
			r.voteAll(rapid.SampledFrom([]checks.Health{checks.Down, checks.Up}).Draw(rt, "health"), one)
			pass()
		case "take over":
			operators[op] = controller.NewTakeover(controller.TakeoverOptions{Options: controller.Options{
				Owner: "test", Policy: r.o.Policy, Providers: r.o.Providers, Log: zerolog.Nop(),
			}, Term: regions.Term(read().Fence.Term) + 1, Holder: fmt.Sprintf("op%d-%d", op, len(story))})
			for _, z := range operators[op].Claim(ctx) {
				if z.Err != nil {
					return met, fmt.Errorf("%v: claiming: %w", story, z.Err)
				}
			}
			if holds != "" {
				met = append(met, "two takeovers")
			}
		case "order":
			if operators[op] == nil {
				continue
			}
			data := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2"}).Draw(rt, "data")
			if _, err := operators[op].Write(ctx, []steering.Answer{answer(0, data)}); err == nil {
				holds = data
			} else if !errors.Is(err, controller.ErrOver) {
				return met, err
			} else {
				met = append(met, "over")
			}
		case "end":
			if now := read().Fence; controller.TakenOver(now) {
				r.world.mu.Lock()
				r.ended, r.term = max(r.ended, regions.Term(now.Term)), max(r.term, regions.Term(now.Term))+1
				r.world.mu.Unlock()
				holds = ""
				pass()
				met = append(met, "ended")
			}
		case "hold":
			from := read()
			if controller.TakenOver(from.Fence) {
				continue // a takeover that still writes gives no number twice
			}
			next := from.Fence
			next.Write++
			if !slices.ContainsFunc(underWay, func(l late) bool { return l.next == next }) { // nor does a leader
				underWay = append(underWay, late{from, next})
			}
		case "arrive":
			if len(underWay) == 0 {
				continue
			}
			l := underWay[0]
			underWay = underWay[1:]
			set := providers.RRSet{Name: nameOf(1), Type: "A", TTL: 30, Data: []string{"192.0.2.1"}}
			var changes []providers.Change
			for _, have := range l.from.Records {
				if have.Name == set.Name {
					was := have
					changes = append(changes, providers.Change{Before: &was, After: &set})
				}
			}
			if _, err := rec.Apply(ctx, l.from, l.next, changes); err != nil {
				met = append(met, "late write refused")
			}
		}
		for i, is := range rec.fences[1:] {
			if was := rec.fences[i]; is.Term < was.Term || is.Term == was.Term && (is.Holder != was.Holder || is.Write <= was.Write) {
				return met, fmt.Errorf("%v: %s was written after %s", story, is, was)
			}
		}
		if holds != "" {
			for _, set := range read().Records {
				if set.Name == nameOf(0) && strings.Join(set.Data, " ") != holds {
					return met, fmt.Errorf("%v: %s is %v, and an operator has ordered %s", story, set.Name, set.Data, holds)
				}
			}
		}
	}
	return met, nil
}

func TestPropertyTakeovers(t *testing.T) {
	cov := regionstest.NewCoverage(t, "a leader beside a takeover", "two takeovers", "over", "ended", "late write refused")
	regionstest.Holds(t, func(rt *rapid.T) error {
		met, err := takeovers(t, rt, noFault)
		cov.Run(met...)
		return err
	})
}

func TestMutantsOfTakeovers(t *testing.T) {
	for name, planted := range map[string]takeoverFault{"leaders know of no takeover": knowsNoTakeover, "the zone lets stale writes in": unguarded} {
		regionstest.Caught(t, 300, name, func(rt *rapid.T) error {
			_, err := takeovers(t, rt, planted)
			return err
		})
	}
}
