package fencedtest

import (
	"context"
	"strings"

	"github.com/veerdns/veer/providers/internal/fenced"
)

// Unfenced is the API with the fence switched off, for fenced.Provider.With: a
// write replaces whatever fence stands there. The proof of the swap still
// finds what it looks for.
func Unfenced(api fenced.API) fenced.API { return unfenced{api} }

type unfenced struct{ fenced.API }

// ClaimsFirst implements fenced.Claimer.
func (u unfenced) ClaimsFirst() bool {
	c, ok := u.API.(fenced.Claimer)
	return ok && c.ClaimsFirst()
}

// Swap implements fenced.API.
func (u unfenced) Swap(ctx context.Context, zone string, r fenced.Request) (fenced.Reply, error) {
	if after := r.Fence.After; after != nil && strings.HasPrefix(after.Name, "_veer-fence.") {
		found, err := u.Find(ctx, zone, after.Name, after.Type)
		if err != nil {
			return fenced.Reply{}, err
		}
		r.Fence.Before = nil
		if len(found) > 0 {
			r.Fence.Before = &found[0]
		}
	}
	return u.API.Swap(ctx, zone, r)
}
