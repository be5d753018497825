// Package steering decides: from verdicts, policy, overrides, the calendar and
// the state before, Decide makes the answers, the state after, and the reason
// of each.
//
// The package is pure: the standard library, checks, regions and providers
// only; no clock, no logger, no I/O. The order of inputs (but for the pools,
// whose order is preference) never matters, and the same input gives the same
// decision, byte for byte. Every type here is plain data that survives JSON.
package steering

import (
	"time"

	"github.com/veerdns/veer/regions"
)

// Kind is a service's policy.
type Kind string

// The kinds.
const (
	// Failover answers with one pool: the most preferred that may have traffic.
	Failover Kind = "failover"
	// Weighted spreads queries over all pools by weight.
	Weighted Kind = "weighted"
	// Multivalue answers with all pools' endpoints at once.
	Multivalue Kind = "multivalue"
	// Geo answers the clients of each location as Failover does, with the
	// pools in the location's own order.
	Geo Kind = "geo"
	// Latency is Geo with an order for each vantage: the nearest pools first.
	Latency Kind = "latency"
)

// DefaultLocation is the location of all clients that are in no other.
const DefaultLocation = "default"

// AllDown says what a service answers when every pool is down.
type AllDown string

// The ways.
const (
	// LastGood is the last answer that had an up endpoint.
	LastGood AllDown = "last_good"
	// All is every endpoint that is not drained.
	All AllDown = "all"
	// Fallback is the policy's fallback addresses.
	Fallback AllDown = "fallback"
)

// Policy is all that is to be steered.
type Policy struct {
	Services []Service `json:"services"`
}

// Service is one DNS name whose traffic is steered.
type Service struct {
	// Name is absolute, lower case, with the final dot.
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Pools are in order of preference.
	Pools []Pool `json:"pools"`
	// Locations are those of a Geo or Latency service, by name; DefaultLocation
	// is always one, whether listed or not.
	Locations []Location `json:"locations,omitempty"`
	// Nearness is the rule of a Latency service.
	Nearness Nearness `json:"nearness,omitzero"`
	AllDown  AllDown  `json:"all_down"`
	Fallback []string `json:"fallback,omitempty"`
	// Flatten: host names are answered with their addresses (ALIAS), not with a
	// CNAME, and so may stand beside addresses and each other.
	Flatten bool `json:"flatten,omitempty"`
	// Demand is the traffic to place, in the unit of Pool.Capacity; 0 is
	// unknown, and then capacities have no effect.
	Demand uint64 `json:"demand,omitempty"`
	// Manual: traffic returns to a more preferred pool only by `veer failback`.
	Manual bool `json:"manual,omitempty"`
	// Hold is how long a pool that was down must have been up before traffic
	// may return to it.
	Hold time.Duration `json:"hold,omitempty"`
	// Rejoin is the same for one endpoint within a pool that is up.
	Rejoin  time.Duration `json:"rejoin,omitempty"`
	Damping Damping       `json:"damping,omitzero"`
	// Shifts is how many moves from pools to others an hour may have; beyond,
	// traffic returns no more until some are older. 0 is no bound.
	Shifts int `json:"shifts,omitempty"`
	// TTL is the steady TTL in seconds, within MinTTL and MaxTTL.
	TTL    uint32 `json:"ttl"`
	MinTTL uint32 `json:"min_ttl"`
	MaxTTL uint32 `json:"max_ttl"`
}

// Located reports whether the answers depend on the client's location.
func (k Kind) Located() bool { return k == Geo || k == Latency }

// Location is what a Geo service has for the clients of one place. Which
// clients those are is not the decision's matter.
type Location struct {
	// Name is that of the vantage which measures for it, of a Latency service.
	Name string `json:"name"`
	// Order holds regions in order of preference; the service's other pools
	// follow in their own order, so that no location is ever without an answer
	// that another one has.
	Order []regions.Name `json:"order,omitempty"`
}

// Damping holds back a pool that flaps (RFC 2439): each departure adds 1000 to
// its penalty, which halves every HalfLife; at Suppress the pool gets no
// returning traffic until the penalty is below Reuse, Max at the latest. A
// zero Suppress is off.
type Damping struct {
	Suppress uint32        `json:"suppress,omitempty"`
	Reuse    uint32        `json:"reuse,omitempty"`
	HalfLife time.Duration `json:"half_life,omitempty"`
	Max      time.Duration `json:"max,omitempty"`
}

// Pool is a service's endpoints in one region; a service has at most one a
// region.
type Pool struct {
	Region    regions.Name `json:"region"`
	Endpoints []Endpoint   `json:"endpoints"`
	// Capacity is what the pool can carry with all endpoints up; 0 is unknown.
	Capacity uint64 `json:"capacity,omitempty"`
	// Weight is its share in a weighted service; 0 gets no traffic while
	// another pool can have it.
	Weight uint32 `json:"weight,omitempty"`
	// MinUp is how many endpoints must be up for the pool to be up (at least 1).
	MinUp int `json:"min_up"`
}

// Endpoint is an address that serves.
type Endpoint struct {
	ID regions.EndpointID `json:"id"`
	// Address is an IP address, or a host name (answered as CNAME).
	Address string `json:"address"`
}

// Target is what an override is about: a region everywhere, a service, a pool
// of it, or an endpoint. Empty fields match all.
type Target struct {
	Service string       `json:"service,omitempty"`
	Region  regions.Name `json:"region,omitempty"`
	Address string       `json:"address,omitempty"`
}

// Act is what an operator ordered.
type Act string

// The acts; where several match, Freeze wins over Force, Force over Drain.
const (
	// Freeze keeps the answer as it is.
	Freeze Act = "freeze"
	// Force answers with the target only.
	Force Act = "force"
	// Drain keeps the target out of the answer.
	Drain Act = "drain"
	// FailbackAct lets traffic return to the target although its failback is
	// manual, its window is closed or damping holds it.
	FailbackAct Act = "failback"
)

// Override is an operator's act, in force until it expires.
type Override struct {
	ID     string `json:"id"`
	Act    Act    `json:"act"`
	Target Target `json:"target"`
	By     string `json:"by"`
	Why    string `json:"why"`
	// Left is the time until it expires, made by the controller from the wall
	// clock; 0 is never. Expired overrides are not in the input.
	Left time.Duration `json:"left,omitempty"`
}

// Calendar holds the facts that the controller makes from the wall clock.
type Calendar struct {
	// Closed names the services whose failback window is closed now.
	Closed []string `json:"closed,omitempty"`
	// Change is the time until any of this changes; 0 is never.
	Change time.Duration `json:"change,omitempty"`
}
