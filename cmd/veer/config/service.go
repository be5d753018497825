package config

import (
	"reflect"
	"slices"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Service is one DNS name whose traffic is steered.
type Service struct {
	// Name is canonical: lower case, ASCII, with the final dot.
	Name string `yaml:"name"`
	// Providers are those that answer for it; left out, all that have a zone
	// for it.
	Providers []string      `yaml:"providers"`
	Policy    steering.Kind `yaml:"policy"`
	// Type is A, AAAA, CNAME or ALIAS; empty: what follows from the addresses.
	Type    string `yaml:"type"`
	Monitor string `yaml:"monitor"`
	// Demand is the traffic to place, in the unit of the pools' Capacity.
	Demand uint64 `yaml:"demand"`
	// Pools are in order of preference.
	Pools []Pool `yaml:"pools"`
	// Locations are those of policies geo and latency.
	Locations []Location `yaml:"locations"`
	// Latency is there with policy latency only.
	Latency *Latency `yaml:"latency"`
	// HTTPS is what its HTTPS record says; nil: it has none.
	HTTPS  *HTTPS `yaml:"https"`
	Quorum Quorum `yaml:"quorum"`
	TTL    TTL    `yaml:"ttl"`
	// RTO bounds the time from a failure until no answer sends clients to
	// it; 0 is no bound.
	RTO      time.Duration `yaml:"rto"`
	Failback Failback      `yaml:"failback"`
	// Rejoin is how long an endpoint must be up before it serves again in a
	// pool that is up.
	Rejoin  time.Duration    `yaml:"rejoin"`
	Damping Damping          `yaml:"damping"`
	AllDown steering.AllDown `yaml:"all_down"`
	// Fallback is answered when all is down and all_down is fallback.
	Fallback []string `yaml:"fallback"`
}

func (s *Service) setDefaults() {
	s.Policy, s.AllDown, s.Rejoin = steering.Failover, steering.LastGood, 30*time.Second
	s.Quorum.setDefaults()
	s.TTL.setDefaults()
	s.Failback.setDefaults()
	s.Damping.setDefaults()
}

// Pool is a service's endpoints in one region.
type Pool struct {
	Region regions.Name `yaml:"region"`
	// Endpoints are IP addresses, or one host name; of an ALIAS both, and any
	// number.
	Endpoints []string `yaml:"endpoints"`
	Capacity  uint64   `yaml:"capacity"`
	// Weight is the pool's share of a weighted service.
	Weight uint32 `yaml:"weight"`
	// MinUp is how many endpoints must be up for the pool to be up.
	MinUp int `yaml:"min_up"`
}

func (p *Pool) setDefaults() { p.Weight, p.MinUp = 1, 1 }

// Quorum says how many vantages decide.
type Quorum struct {
	// Need is majority, all, any, a count or a percentage.
	Need string `yaml:"need"`
	// MinVoters is how many must have an opinion; left out, min(2, n).
	MinVoters int `yaml:"min_voters"`
}

func (q *Quorum) setDefaults() { q.Need = "majority" }

func (q Quorum) toNode(e encoder) *node {
	if !e.defaults && q.MinVoters == regions.DefaultMinVoters(e.vantages) {
		q.MinVoters = 0
	}
	return e.structs(reflect.ValueOf(q))
}

// TTL bounds what is served, in whole seconds.
type TTL struct {
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
}

const (
	defaultMinTTL = 5 * time.Second
	defaultMaxTTL = time.Minute
)

func (t *TTL) setDefaults() { t.Min, t.Max = defaultMinTTL, defaultMaxTTL }

// Failback says when traffic returns to a pool that was down.
type Failback struct {
	Mode string `yaml:"mode"`
	// Hold is how long the pool must have been up.
	Hold time.Duration `yaml:"hold"`
	// Window is when a return may happen; nil is always.
	Window *Window `yaml:"window"`
}

// The modes of failback.
const (
	FailbackAuto   = "auto"
	FailbackManual = "manual"
)

func (f *Failback) setDefaults() { f.Mode, f.Hold = FailbackAuto, 10*time.Minute }

// Damping holds back a pool that flaps: see steering.Damping.
type Damping struct {
	// Off is `damping: off`.
	Off      bool          `yaml:"-"`
	Suppress uint32        `yaml:"suppress"`
	Reuse    uint32        `yaml:"reuse"`
	HalfLife time.Duration `yaml:"half_life"`
	Max      time.Duration `yaml:"max"`
}

// The third departure in quick succession suppresses: each adds 1000.
func (d *Damping) setDefaults() {
	d.Suppress, d.Reuse, d.HalfLife, d.Max = 2500, 1000, 15*time.Minute, time.Hour
}

func (d *Damping) fromNode(dec decoder, n *node, path string) {
	if n.shape == scalar && n.text == "off" {
		*d = Damping{Off: true}
		return
	}
	type keys Damping // without this method
	k := keys(*d)
	if n.shape != mapping {
		dec.mismatch(n, path, "off, or the keys suppress, reuse, half_life and max", "")
		return
	}
	dec.value(n, path, addressable(&k))
	*d = Damping(k)
}

func (d Damping) toNode(e encoder) *node {
	if d.Off {
		return textNode("off")
	}
	return e.structs(reflect.ValueOf(d))
}

// steering returns the rule in the form that decisions take.
func (d Damping) steering() steering.Damping {
	if d.Off {
		return steering.Damping{}
	}
	return steering.Damping{Suppress: d.Suppress, Reuse: d.Reuse, HalfLife: d.HalfLife, Max: d.Max}
}

// toNode leaves out a pool's weight where it has no meaning, and latency where
// it says what is so anyway.
func (s Service) toNode(e encoder) *node {
	if s.Policy != steering.Weighted {
		s.Pools = slices.Clone(s.Pools)
		for i := range s.Pools {
			s.Pools[i].Weight = 1
		}
	}
	usual := Latency{}
	if usual.setDefaults(); s.Latency != nil && *s.Latency == usual && !e.defaults {
		s.Latency = nil
	}
	n := e.structs(reflect.ValueOf(s))
	if s.Policy == steering.Weighted {
		return n
	}
	for _, pool := range n.get("pools").items {
		pool.pairs = slices.DeleteFunc(pool.pairs, func(p pair) bool { return p.key.text == "weight" })
	}
	return n
}
