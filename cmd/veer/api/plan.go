package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// Plan is what would be written now.
type Plan struct {
	Owner  string       `json:"owner"`
	Config string       `json:"config"` // hash
	Region regions.Name `json:"region"`
	// First: there is no ledger yet; the changes are to what a first decision
	// on the present votes would answer.
	First bool `json:"first,omitempty"`
	// Term is the highest of the decisions.
	Term  regions.Term `json:"term"`
	Prune bool         `json:"prune,omitempty"`
	// Zones are those of every written provider, in the config's order.
	Zones []PlanZone `json:"zones"`
	// Ledger are the decisions that the changes come from.
	Ledger []Decided `json:"ledger"`
	// Budgets are the worst-case recovery times by service.
	Budgets  map[string]steering.Budget `json:"budgets"`
	Warnings []string                   `json:"warnings"`
	// Unconfirmed are the answers that the config would alter once it is
	// confirmed, sorted by service.
	Unconfirmed []Unconfirmed `json:"unconfirmed,omitempty"`
}

// Unconfirmed is an answer that is held until the config of this hash is
// confirmed, and what it would be.
type Unconfirmed struct {
	Service string            `json:"service"`
	Config  string            `json:"config"`
	Before  []providers.RRSet `json:"before"`
	After   []providers.RRSet `json:"after"`
}

// Decided is a version of a part of the ledger.
type Decided struct {
	Shard int          `json:"shard"`
	Term  regions.Term `json:"term"`
	Seq   uint64       `json:"seq"`
}

// PlanZone is one zone's part. With Prune, Changes are all of them.
type PlanZone struct {
	controller.ZonePlan
	Fence providers.Fence `json:"fence"`
	// Records identifies what the zone holds now.
	Records string `json:"records"`
	// Why are the reasons of the answers whose names change.
	Why map[string][]steering.Reason `json:"why"`
	// Estimate is what the changes cost; nil: the provider cannot tell.
	Estimate *providers.Estimate `json:"estimate,omitempty"`
	// Error says why the zone could not be read: then nothing is known of it.
	Error string `json:"error,omitempty"`
}

// Pending counts the changes.
func (p Plan) Pending() int {
	n := 0
	for _, z := range p.Zones {
		n += len(z.Changes)
	}
	return n
}

// Saved is the plan as a leader is to carry it out.
func (p Plan) Saved() controller.Saved {
	s := controller.Saved{Config: p.Config, Zones: []controller.SavedZone{}}
	for _, z := range p.Zones {
		if len(z.Changes) > 0 {
			s.Zones = append(s.Zones, controller.SavedZone{Provider: z.Provider, Zone: z.Zone, Fence: z.Fence, Records: z.Records, Changes: z.Changes})
		}
	}
	return s
}

// Standing is how a name stands in one written zone.
type Standing struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
	Zone     string `json:"zone"`
	// Records stand there now; Wanted would be answered there.
	Records []providers.RRSet `json:"records"`
	Wanted  []providers.RRSet `json:"wanted"`
	// Owned: it is this Veer's; Owner is another's.
	Owned bool   `json:"owned"`
	Owner string `json:"owner,omitempty"`
	// Service: the config has a service of the name that goes here.
	Service bool   `json:"service"`
	Error   string `json:"error,omitempty"`
}

// Applied is what became of a request to write.
type Applied struct {
	// Leader carried it out.
	Leader string                   `json:"leader"`
	Zones  []controller.ZoneOutcome `json:"zones"`
}

// Failed reports whether a zone could not be written.
func (a Applied) Failed() bool { return Pass{Zones: a.Zones}.Failed() }

// Refused reports whether a name, or what the guard holds back, was not
// written.
func (a Applied) Refused() bool { return Pass{Zones: a.Zones}.Refused() }

// Stale reports whether something moved since the plan was saved.
func (a Applied) Stale() bool {
	for _, z := range a.Zones {
		if z.Stale != "" {
			return true
		}
	}
	return false
}

// Plan returns what would be written, with prune also what would be deleted.
func (c *Client) Plan(ctx context.Context, prune bool) (Plan, error) {
	q := url.Values{}
	if prune {
		q.Set("prune", "true")
	}
	var out Plan
	return out, c.do(ctx, http.MethodGet, "/v1/plan", q, nil, &out)
}

// Standing returns how names stand in the written zones that they are in.
func (c *Client) Standing(ctx context.Context, names []string) ([]Standing, error) {
	var out []Standing
	return out, c.do(ctx, http.MethodGet, "/v1/standing", url.Values{"name": names}, nil, &out)
}

// Apply has the leader write.
func (c *Client) Apply(ctx context.Context, r controller.Request) (Applied, error) {
	var out Applied
	return out, c.do(ctx, http.MethodPost, "/v1/apply", nil, r, &out)
}
