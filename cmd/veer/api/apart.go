package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

// Apart is what a daemon answers, or writes, apart from the ledger.
type Apart struct {
	// CutOff is how long the process has heard no quorum; 0: it counts as joined.
	CutOff time.Duration `json:"cut_off,omitempty"`
	// Isolation is the config's: hold or local. Narrows: local is at work.
	Isolation string `json:"isolation"`
	Narrows   bool   `json:"narrows,omitempty"`
	// Orders are those of --local.
	Orders []controller.Order `json:"orders"`
	// Services are answered here otherwise than the ledger says.
	Services []string  `json:"services"`
	Takeover *Takeover `json:"takeover,omitempty"`
}

// Takeover is an operator's lead at the written providers.
type Takeover struct {
	// Term is that of its fences, Holder their holder.
	Term   regions.Term `json:"term"`
	Holder string       `json:"holder,omitempty"`
	By     string       `json:"by"`
	Why    string       `json:"why"`
	// Began is by the wall clock of the daemon's host, for people.
	Began time.Time `json:"began,omitzero"`
	// Zones are in the order of the config.
	Zones  []TakenZone        `json:"zones"`
	Orders []controller.Order `json:"orders"`
	// Over, when it is not empty, says who has a higher term: this takeover
	// writes no more.
	Over string `json:"over,omitempty"`
	// Ending: its end was begun, and not finished.
	Ending bool `json:"ending,omitempty"`
}

// The states of a zone in a takeover.
const (
	TakenPlanned = "planned" // of a dry run
	Taken        = "taken"
	TakenLost    = "does not answer" // and is claimed when it does
	TakenRefused = "refused"
	TakenNot     = "not tried" // it comes after one that refused
)

// TakenZone is how one zone stands in a takeover.
type TakenZone struct {
	Provider string `json:"provider"`
	Zone     string `json:"zone"`
	State    string `json:"state"`
	// Fence is the one before the takeover; empty: there was none.
	Fence string `json:"fence,omitempty"`
	// Error is why it is not as it should be.
	Error string `json:"error,omitempty"`
}

// TakeoverRequest begins or ends a takeover.
type TakeoverRequest struct {
	By  string `json:"by"`
	Why string `json:"why"`
}

// TakeoverEnd is what came of the end of a takeover.
type TakeoverEnd struct {
	// Term is the takeover's; the ledger's is above it now.
	Term regions.Term `json:"term"`
	// Orders were carried into the ledger.
	Orders []controller.Order `json:"orders"`
	// InForce: a leader has decided with them. Without, Note says why not yet.
	InForce bool   `json:"in_force"`
	Note    string `json:"note,omitempty"`
}

// Takeover begins a takeover, or with dryRun only says what it would claim.
func (c *Client) Takeover(ctx context.Context, r TakeoverRequest, dryRun bool) (Takeover, error) {
	q := url.Values{}
	if dryRun {
		q.Set("dry_run", "true")
	}
	var out Takeover
	return out, c.do(ctx, http.MethodPost, "/v1/takeover", q, r, &out)
}

// EndTakeover ends it.
func (c *Client) EndTakeover(ctx context.Context, r TakeoverRequest) (TakeoverEnd, error) {
	var out TakeoverEnd
	return out, c.do(ctx, http.MethodDelete, "/v1/takeover", nil, r, &out)
}
