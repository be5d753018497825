package api

import (
	"context"
	"net/http"
	"time"

	"github.com/veerdns/veer/regions"
)

// Export is how far an output of the journal of one host is, as the ledger has
// it: the head of its chain.
type Export struct {
	Region regions.Name `json:"region"`
	Output string       `json:"output"` // file or syslog
	Chain  string       `json:"chain"`
	// N is the number of the last line, Hash its hash, Time when it was noted.
	N    uint64    `json:"n"`
	Hash string    `json:"hash"`
	Time time.Time `json:"time"`
}

// Exports returns the heads of all outputs of the journal.
func (c *Client) Exports(ctx context.Context) ([]Export, error) {
	var out []Export
	return out, c.do(ctx, http.MethodGet, "/v1/exports", nil, nil, &out)
}
