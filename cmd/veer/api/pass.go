package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

// PassResult says in a word what came of a pass.
type PassResult string

// What can come of a pass.
const (
	// PassChanged: an answer moved, or a zone was written.
	PassChanged PassResult = "changed"
	// PassUnchanged: everything is as it should be already.
	PassUnchanged PassResult = "unchanged"
	// PassUnknown: no quorum of fresh votes; nothing was written.
	PassUnknown PassResult = "unknown"
	// PassVoted: the votes are cast, and a daemon that leads decides.
	PassVoted PassResult = "voted"
)

// Pass is what one pass of `veer once` came to.
type Pass struct {
	Result PassResult `json:"result"`
	// Region is the vantage that voted, Leader who decided or will.
	Region regions.Name `json:"region"`
	Leader string       `json:"leader,omitempty"`
	Term   regions.Term `json:"term,omitempty"`
	// Daemon: the daemon on the data_dir made the pass.
	Daemon bool `json:"daemon,omitempty"`
	// Votes counts the votes by what they say.
	Votes map[checks.Health]int `json:"votes"`
	// Unknown are services on none of whose endpoints there is a verdict;
	// their answers stay as they are.
	Unknown []string                 `json:"unknown"`
	Moves   []Move                   `json:"moves"`
	Zones   []controller.ZoneOutcome `json:"zones"`
}

// NewPass returns a pass of which nothing is known yet.
func NewPass(region regions.Name) Pass {
	return Pass{Region: region, Votes: map[checks.Health]int{}, Unknown: []string{}, Moves: []Move{}, Zones: []controller.ZoneOutcome{}}
}

// Failed reports whether a zone could not be written for want of an answer.
func (p Pass) Failed() bool {
	return slices.ContainsFunc(p.Zones, func(z controller.ZoneOutcome) bool { return z.Error != "" })
}

// Refused reports whether something was not written that should have been, and
// will not be before somebody acts.
func (p Pass) Refused() bool {
	return slices.ContainsFunc(p.Zones, func(z controller.ZoneOutcome) bool { return len(z.Refused) > 0 || z.Guard != "" })
}

// Once has the daemon make a pass now.
func (c *Client) Once(ctx context.Context) (Pass, error) {
	var out Pass
	return out, c.do(ctx, http.MethodPost, "/v1/once", nil, nil, &out)
}
