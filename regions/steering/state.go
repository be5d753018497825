package steering

import (
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
)

// Input is all that a decision depends on.
type Input struct {
	// Now counts from the start of the term on the monotonic clock.
	Now      time.Duration     `json:"now"`
	Policy   Policy            `json:"policy"`
	Verdicts []regions.Verdict `json:"verdicts"`
	// Distances are what the vantages measure, for the Latency services.
	Distances []Distance           `json:"distances,omitempty"`
	Suspects  []regions.EndpointID `json:"suspects,omitempty"`
	Overrides []Override           `json:"overrides,omitempty"`
	Calendar  Calendar             `json:"calendar,omitzero"`
	// Panic, Velocity and Unconfirmed are facts over all services, which the
	// controller makes since a decision sees a part of them only.
	Panic       Panic       `json:"panic,omitzero"`
	Velocity    Velocity    `json:"velocity,omitzero"`
	Unconfirmed Unconfirmed `json:"unconfirmed,omitzero"`
	Prev        State       `json:"prev"`
}

// Decision is what Decide made of an Input.
type Decision struct {
	Next    State    `json:"next"`
	Answers []Answer `json:"answers"`
	Why     []Reason `json:"why"`
	// WakeAt is the Now at which to ask again, input unchanged; 0 is never.
	WakeAt time.Duration `json:"wake_at,omitempty"`
	// Returned is how many services' traffic returned although nothing forced
	// it, as Velocity counts them.
	Returned int `json:"returned,omitempty"`
}

// Answer is an RRset to serve and how long it will surely hold.
type Answer struct {
	providers.RRSet
	// MinTTL is the floor of the TTL, in seconds.
	MinTTL uint32 `json:"min_ttl"`
	// Left is the time until the answer may change, from the commit on; 0:
	// no change is foreseen. The authority serves the smaller of TTL and
	// Left, not below MinTTL.
	Left time.Duration `json:"left,omitempty"`
}

// Reason explains one part of a decision.
type Reason struct {
	Service string       `json:"service"`
	Region  regions.Name `json:"region,omitempty"`
	// Location is that of a Geo or Latency service that the reason is about; empty: all.
	Location string `json:"location,omitempty"`
	// Rule is a stable word: see the Rule constants.
	Rule Rule `json:"rule"`
	// Text is the sentence for people.
	Text string `json:"text"`
}

// Rule names the rule that applied.
type Rule string

// The rules.
const (
	RuleFirst        Rule = "first"         // nothing was served before
	RuleKeep         Rule = "keep"          // nothing speaks for a change
	RuleDepart       Rule = "depart"        // the serving pool is down
	RuleReturn       Rule = "return"        // a more preferred pool may serve again
	RuleEndpoint     Rule = "endpoint"      // endpoints joined or left a pool
	RuleHold         Rule = "hold"          // a pool is up but held down
	RuleDamp         Rule = "damp"          // a pool is up but flapped too often
	RuleManual       Rule = "manual"        // a pool is up and waits for veer failback
	RuleWindow       Rule = "window"        // a pool is up and waits for its window
	RuleCapacity     Rule = "capacity"      // a pool cannot carry the demand
	RuleDegraded     Rule = "degraded"      // a degraded pool keeps its traffic
	RuleUnknown      Rule = "unknown"       // unknown moves nothing
	RuleAllDown      Rule = "all-down"      // every pool is down
	RuleFreeze       Rule = "freeze"        // frozen by an override
	RuleForce        Rule = "force"         // forced by an override
	RuleDrain        Rule = "drain"         // drained by an override
	RuleDrainRefused Rule = "drain-refused" // a drain would have left no answer
	RuleUnlisted     Rule = "unlisted"      // the ledger knows it, the config does not
	RuleLocal        Rule = "local"         // one server answers apart from the ledger
	RulePanic        Rule = "panic"         // too much fell at once to be believed yet
	RuleVelocity     Rule = "velocity"      // traffic returned too often, or too many services' did
	RuleNearer       Rule = "nearer"        // what the vantage of a location measures
	RuleUnconfirmed  Rule = "unconfirmed"   // the config would alter too many answers
)

// State is what a decision leaves for the next one. It holds durations still
// to run, never instants, so that a change of leader makes a hold longer,
// never shorter.
type State struct {
	// Clock is the Now of the decision that left this state. A new leader
	// sets it to its own first Now.
	Clock    time.Duration  `json:"clock"`
	Services []ServiceState `json:"services"` // sorted by Name
	// Panic is the one of the decision's input.
	Panic Panic `json:"panic,omitzero"`
}

// ServiceState is what is remembered of one service.
type ServiceState struct {
	Name  string      `json:"name"`
	Pools []PoolState `json:"pools"` // sorted by Region
	// Serving names the pools that have the traffic, sorted.
	Serving []regions.Name `json:"serving"`
	// AllDown: every pool is down, and the policy's all_down is answered.
	AllDown bool `json:"all_down,omitempty"`
	// Answer is what is answered, LastGood the last answer that had an up
	// endpoint; both sorted by key.
	Answer   []providers.RRSet `json:"answer"`
	LastGood []providers.RRSet `json:"last_good,omitempty"`
	MinTTL   uint32            `json:"min_ttl"`
	// Rebuilt is what Rebuild says of a Weighted service: the shares of Answer hold
	// until there are verdicts on all that serves.
	Rebuilt bool `json:"rebuilt,omitempty"`
	// Shifts are the ages of the last moves from pools to others, youngest
	// first, as far as they are younger than an hour and Service.Shifts counts.
	Shifts []time.Duration `json:"shifts,omitempty"`
	// Waits: traffic would return, but for Velocity.Returns.
	Waits bool `json:"waits,omitempty"`
	// Spent: it has had all its shifts of the hour.
	Spent bool `json:"spent,omitempty"`
	// Pending is there while the answer is held as Unconfirmed says.
	Pending Pending `json:"pending,omitzero"`
	// Locations are those of a Geo or Latency service, sorted by name. Then Serving,
	// Answer, LastGood and Pending are those of all locations together, Shifts
	// those of the one that moved last, Waits and Spent are true where they are
	// for one of them, and AllDown where it is for all.
	Locations []LocationState `json:"locations,omitempty"`
}

// LocationState is what is remembered of one location of a Geo service, each
// as in ServiceState. Its answers are those with its name.
type LocationState struct {
	Name    string          `json:"name"`
	Serving []regions.Name  `json:"serving"`
	AllDown bool            `json:"all_down,omitempty"`
	Shifts  []time.Duration `json:"shifts,omitempty"`
	Waits   bool            `json:"waits,omitempty"`
	Spent   bool            `json:"spent,omitempty"`
	Pending Pending         `json:"pending,omitzero"`
	// Order is that of the pools, of a Latency service; none: as in the policy.
	// Gains are the pools that may pass others, sorted.
	Order []regions.Name `json:"order,omitempty"`
	Gains []Gain         `json:"gains,omitempty"`
}

// PoolState is what is remembered of one pool.
type PoolState struct {
	Region    regions.Name    `json:"region"`
	Endpoints []EndpointState `json:"endpoints"` // sorted by ID
	// Seen is the pool's health by the verdicts of the last decision: its
	// timers ran since then only if that was not unknown.
	Seen checks.Health `json:"seen"`
	// Out: traffic left this pool because it was down, and has not been let
	// back yet. Hold is how long it must still stay up.
	Out  bool          `json:"out,omitempty"`
	Hold time.Duration `json:"hold,omitempty"`
	// Flaps are the ages of its departures, youngest first, as far as damping
	// counts them; Suppressed says that damping holds it, since Held.
	Flaps      []time.Duration `json:"flaps,omitempty"`
	Suppressed bool            `json:"suppressed,omitempty"`
	Held       time.Duration   `json:"held,omitempty"`
}

// EndpointState is what is remembered of one endpoint.
type EndpointState struct {
	ID      regions.EndpointID `json:"id"`
	Address string             `json:"address"`
	// Seen is its verdict at the last decision, Known its last verdict that
	// was not unknown.
	Seen  checks.Health `json:"seen"`
	Known checks.Health `json:"known"`
	// Out and Hold are as for a pool, with Rejoin.
	Out  bool          `json:"out,omitempty"`
	Hold time.Duration `json:"hold,omitempty"`
}
