package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// renumbered are the services with other addresses in eu, as many as n.
func renumbered(services []steering.Service, n int) ([]steering.Service, []regions.EndpointID) {
	out := slices.Clone(services)
	var ids []regions.EndpointID
	for i := range n {
		out[i].Pools = slices.Clone(out[i].Pools)
		address := fmt.Sprintf("192.0.9.%d", i+1)
		id := regions.EndpointID("web@" + address)
		out[i].Pools[0].Endpoints = []steering.Endpoint{{ID: id, Address: address}}
		ids = append(ids, id)
	}
	return out, ids
}

func TestAConfigThatAltersManyAnswersIsHeld(t *testing.T) {
	services, eu, us, ap := many(12, time.Minute)
	another, ids := renumbered(services, 6)
	bubble(t, services, func(r *rig) {
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.wantIn(services, 12, 0, 0)
		r.stop()

		r.o.Policy.Services, r.o.ConfigHash = another, "d"
		r.voteAll(checks.Up, ids...)
		r.start()
		pass(time.Minute)
		r.wantIn(services, 12, 0, 0)
		if !r.hasReason(steering.RuleUnconfirmed) {
			t.Error("the journal does not say why the answers are held")
		}
		// What is not held goes on as ever; what is held leaves what is down.
		r.voteAll(checks.Down, eu[11])
		pass(time.Millisecond)
		r.wantIn(services, 11, 1, 0)
		r.voteAll(checks.Down, eu[0])
		pass(time.Millisecond)
		r.wantServed(services[0].Name, "192.0.9.1")
		r.wantIn(services, 10, 1, 0)
		r.voteAll(checks.Down, us[0], eu[1], eu[2])
		pass(time.Millisecond)
		r.wantIn(services, 8, 1, 0)
		if p := r.pending(); len(p) != 3 || p[services[0].Name] != "" {
			t.Errorf("%v wait for a confirmation, expected the three that are not down", p)
		}

		// The next leader holds the same ones, although they are fewer now.
		r.stop()
		r.start()
		pass(time.Minute)
		r.wantIn(services, 8, 1, 0)

		_, err := r.leads.Apply(context.Background(), controller.Request{AcceptConfig: "e", By: "alice", Why: "test"})
		if !errors.Is(err, controller.ErrConfig) {
			t.Errorf("another config was confirmed: %v", err)
		}
		r.wantIn(services, 8, 1, 0)
		if _, err := r.leads.Apply(context.Background(), controller.Request{AcceptConfig: "d", By: "alice", Why: "renumbered"}); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			r.wantServed(services[i].Name, fmt.Sprintf("192.0.9.%d", i+1))
		}
		r.wantCause("config d confirmed by alice: renumbered")
		if _, err := r.leads.Apply(context.Background(), controller.Request{AcceptConfig: "d", By: "alice", Why: "again"}); !errors.Is(err, controller.ErrConfig) {
			t.Errorf("it was confirmed twice: %v", err)
		}
		r.wantReplay()
	})
}

// A config that alters few answers, or is taken back, holds nothing.
func TestAConfigThatAltersFewAnswersIsNotHeld(t *testing.T) {
	services, eu, us, ap := many(12, time.Minute)
	few, ids := renumbered(services, 3)
	lots, _ := renumbered(services, 6)
	bubble(t, services, func(r *rig) {
		r.voteAll(checks.Up, slices.Concat(eu, us, ap, ids)...)
		r.start()
		r.stop()
		r.o.Policy.Services, r.o.ConfigHash = few, "d"
		r.start()
		r.wantServed(services[2].Name, "192.0.9.3")
		r.stop()

		r.o.Policy.Services, r.o.ConfigHash = lots, "e"
		r.o.Policy.Services = append(slices.Clone(lots[3:]), lots[:3]...)
		r.start()
		r.wantServed(services[5].Name, "192.0.9.6") // three more of twelve
		r.stop()
		r.o.Policy.Services, r.o.ConfigHash = services, "c"
		r.start()
		r.wantServed(services[5].Name, "192.0.9.6") // six: held
		r.stop()
		r.o.Policy.Services, r.o.ConfigHash = lots, "e"
		r.start()
		if p := r.pending(); len(p) > 0 {
			t.Errorf("%v wait for a confirmation that nobody wants any more", p)
		}
	})
}

// A pool of addresses that nobody has probed yet, in front of the others, alters
// the answers once they are known to be up: that is held as well.
func TestAConfigOfUnknownAddressesIsHeld(t *testing.T) {
	services, eu, us, ap := many(12, time.Minute)
	bubble(t, services, func(r *rig) {
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.stop()
		another, ids := renumbered(services, 12)
		for i := range another {
			another[i].Pools[0].Region = "sa"
			another[i].Pools = slices.Insert(another[i].Pools, 1, services[i].Pools[0])
		}
		r.o.Policy.Services, r.o.ConfigHash = another, "d"
		r.start()
		r.wantIn(services, 12, 0, 0)
		r.voteAll(checks.Up, ids...)
		pass(time.Minute)
		r.wantIn(services, 12, 0, 0)
		if p := r.pending(); len(p) != 12 {
			t.Errorf("%d wait for a confirmation", len(p))
		}
	})
}

// So is one that prefers a pool which was there, but has no verdict yet.
func TestAnotherOrderOfUnknownPoolsIsHeld(t *testing.T) {
	services, eu, us, ap := many(12, time.Minute)
	bubble(t, services, func(r *rig) {
		r.start()
		r.wantIn(services, 12, 0, 0)
		r.stop()
		another, _ := renumbered(services, 12)
		for i := range another {
			another[i].Pools = []steering.Pool{services[i].Pools[1], services[i].Pools[0], services[i].Pools[2]}
		}
		r.o.Policy.Services, r.o.ConfigHash = another, "d"
		r.start()
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		pass(time.Minute)
		r.wantIn(services, 12, 0, 0)
	})
}

// pending are the services that wait for a confirmation, with the config.
func (r *rig) pending() map[string]string {
	out := map[string]string{}
	for _, s := range r.shards {
		for _, svc := range s.State.Services {
			if svc.Pending.Config != "" {
				out[svc.Name] = svc.Pending.Config
			}
		}
	}
	return out
}
