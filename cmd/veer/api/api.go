// Package api is what the daemon and the command line say to each other: JSON
// over HTTP on a unix socket, <data_dir>/veer.sock, mode 0600. The types here
// are also what `-o json` prints; fields are added, never renamed or removed.
//
//	GET    /v1/status                      -> Status
//	GET    /v1/explain/{name}[?at=RFC3339&client=IP] -> Explain
//	GET    /v1/journal[?name=&limit=&moved=true] -> []steering.Entry, oldest first
//	GET    /v1/notes[?limit=]              -> []Note, oldest first
//	GET    /v1/exports                     -> []Export, by region and output
//	GET    /v1/orders                      -> []controller.Order
//	POST   /v1/orders[?dry_run=true]       OrderRequest -> OrderResult
//	DELETE /v1/orders[?dry_run=true]       OrderRequest -> OrderResult (undrain, unfreeze, unforce)
//	POST   /v1/takeover[?dry_run=true]     TakeoverRequest -> Takeover
//	DELETE /v1/takeover                    TakeoverRequest -> TakeoverEnd
//	GET    /v1/members                     -> Members
//	POST   /v1/members                     MemberRequest -> MemberResult
//	POST   /v1/once                        -> Pass
//	GET    /v1/plan[?prune=true]           -> Plan
//	GET    /v1/standing?name=&name=        -> []Standing
//	POST   /v1/apply                       controller.Request -> Applied
//
// An error is a Problem with a 4xx or 5xx status; 409 is a refusal (exit 3).
package api

import (
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

// Problem is an error's body, and the error that the Client returns for it.
type Problem struct {
	// Code is the HTTP status.
	Code int    `json:"-"`
	What string `json:"error"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
	// Refused: the daemon could, but will not (exit 3).
	Refused bool `json:"refused,omitempty"`
}

// Status is the state of everything as one daemon sees it.
type Status struct {
	Version string             `json:"version"`
	Owner   string             `json:"owner"`
	Region  regions.Name       `json:"region"`
	Roles   []string           `json:"roles"`
	Uptime  time.Duration      `json:"uptime"`
	Config  string             `json:"config"` // hash
	Leader  Leader             `json:"leader"`
	Voters  []Vantage          `json:"vantages"`
	Serves  []Service          `json:"services"`
	Orders  []controller.Order `json:"orders"`
	// Apart is what this daemon answers, or writes, apart from the ledger;
	// absent: nothing.
	Apart *Apart `json:"apart,omitempty"`
	// Zones are the written providers' zones as the leader keeps them; empty
	// where this daemon does not lead.
	Zones []controller.ZoneState `json:"zones"`
	// Warnings are sentences, worst first; any makes `status` exit 4.
	Warnings []string `json:"warnings"`
	// Prober is how punctual this daemon's prober is; absent without one.
	Prober *prober.Punctuality `json:"prober,omitempty"`
	// Traffic is what this daemon's DNS servers answer; absent without one.
	Traffic []Traffic `json:"traffic,omitempty"`
}

// Traffic is how many queries a DNS server answered, of a zone or of a service.
type Traffic struct {
	Provider string `json:"provider"`
	Zone     string `json:"zone,omitempty"`
	Service  string `json:"service,omitempty"`
	// Answer is a zone's rcode; of a service the region that was answered, or
	// several with + between them, FALLBACK, OTHER for data of no pool, or NODATA
	// for a type that it has not.
	Answer string `json:"answer"`
	// PerSecond is over the last 5 to 10 s, Queries since the daemon started.
	PerSecond float64 `json:"per_second"`
	Queries   uint64  `json:"queries"`
}

// Leader is who decides.
type Leader struct {
	Name   string       `json:"name,omitempty"` // region of the leading daemon; empty: none
	Term   regions.Term `json:"term"`
	Itself bool         `json:"itself"` // this daemon leads
}

// Vantage is one voter.
type Vantage struct {
	Name  regions.Name `json:"name"`
	Fresh bool         `json:"fresh"` // its lease lives
	// Suspect: it doubts itself, its votes count as unknown.
	Suspect bool   `json:"suspect,omitempty"`
	Why     string `json:"why,omitempty"`
	Votes   int    `json:"votes"`
	Down    int    `json:"down"` // endpoints that it calls down
	// Config is the hash of the config that it runs, where it says so.
	Config string `json:"config,omitempty"`
}

// Service is one steered name.
type Service struct {
	Name    string         `json:"name"`
	Kind    steering.Kind  `json:"kind"`
	Serving []regions.Name `json:"serving"`
	AllDown bool           `json:"all_down,omitempty"`
	// TTL is what is served now, in seconds; Steady the steady TTL.
	TTL    uint32            `json:"ttl"`
	Steady uint32            `json:"steady_ttl"`
	Answer []providers.RRSet `json:"answer"`
	Pools  []Pool            `json:"pools"`
	// Here is what this daemon's DNS server answers where that is not what the
	// ledger says.
	Here []providers.RRSet `json:"here,omitempty"`
	// Since is how long the answer has been as it is, as far as this daemon saw.
	Since time.Duration     `json:"since"`
	Why   []steering.Reason `json:"why"`
}

// Pool is a service's endpoints in one region.
type Pool struct {
	Region    regions.Name  `json:"region"`
	Health    checks.Health `json:"health"`
	Serving   bool          `json:"serving"`
	Up        int           `json:"up"`
	Total     int           `json:"total"`
	Endpoints []Endpoint    `json:"endpoints"`
	Hold      time.Duration `json:"hold,omitempty"` // left, while it waits to return
}

// Endpoint is one address with the verdict on it.
type Endpoint struct {
	Address string          `json:"address"`
	Verdict regions.Verdict `json:"verdict"`
	Votes   []Vote          `json:"votes,omitempty"`
}

// Vote is a vote with its age as this daemon saw it arrive.
type Vote struct {
	regions.Vote
	Age time.Duration `json:"age"`
}

// Explain answers `veer explain NAME`: what is served, why, what is next.
type Explain struct {
	Service Service `json:"service"`
	// Rules decided, most important first.
	Rules []steering.Reason `json:"rules"`
	// Next says what will happen and when, in sentences; empty: nothing is due.
	Next []Next `json:"next"`
	// Budget is the worst-case RTO term by term.
	Budget steering.Budget `json:"budget"`
	// Entry is the journal entry of the decision that made the answer.
	Term  regions.Term `json:"term"`
	Seq   uint64       `json:"seq"`
	Shard int          `json:"shard"`
	Time  string       `json:"time"`
	Cause string       `json:"cause"`
	// Client is what the client that was asked about is answered, if any was.
	Client *Located `json:"client,omitempty"`
	// Aliases are the hosts that the service can lead to with their addresses.
	Aliases []Alias `json:"aliases,omitempty"`
}

// Located is what one client is answered.
type Located struct {
	Address string `json:"address"`
	// Location is the client's, of a service that has locations; Network the
	// largest network around it in which all clients are in the same one.
	Location string            `json:"location,omitempty"`
	Network  string            `json:"network,omitempty"`
	Answer   []providers.RRSet `json:"answer"`
}

// Next is something due.
type Next struct {
	What string        `json:"what"`
	In   time.Duration `json:"in"`
}

// OrderRequest asks for an override, or to end those that match.
type OrderRequest struct {
	Act    steering.Act    `json:"act"`
	Target steering.Target `json:"target"`
	By     string          `json:"by"`
	Why    string          `json:"why"`
	// For is how long; 0 is forever.
	For time.Duration `json:"for,omitempty"`
	// Local: it is about this daemon's DNS server alone, and needs no quorum.
	Local bool `json:"local,omitempty"`
}

// OrderResult says what will move (dry run) or did. The reply to an order that
// is not a dry run waits up to 3 s until the daemon serves what the leader
// decided with it.
type OrderResult struct {
	Orders []controller.Order `json:"orders"`
	Moves  []Move             `json:"moves"`
	// InForce: the order has had its effect, Took after it was given. Without,
	// the ledger has the order, and Note says why nothing has come of it yet.
	InForce bool          `json:"in_force"`
	Took    time.Duration `json:"took,omitempty"`
	Note    string        `json:"note,omitempty"`
}

// Move is one service's answer before and after an order.
type Move struct {
	Service string            `json:"service"`
	Before  []providers.RRSet `json:"before"`
	After   []providers.RRSet `json:"after"`
	Why     []steering.Reason `json:"why"`
}

// Note is what an operator did with an order, or what became of it.
type Note struct {
	// Time is by the wall clock of the daemon that was told, for people.
	Time time.Time `json:"time"`
	// Act is "ordered", "ended" or "expired"; or, without an order, what was
	// written on request: "applied", "pruned", "imported NAME", "released NAME",
	// "member NAME added", "member NAME removed".
	Act string `json:"act"`
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
	// Order is what it was about; absent where there is none, or it could not be
	// read.
	Order *controller.Order `json:"order,omitempty"`
}
