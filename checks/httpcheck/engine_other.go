//go:build !linux

package httpcheck

import (
	"context"
	"net/netip"
)

// engines: an engine takes probes on this system.
const engines = false

type (
	machine struct{}
	route   struct{}
	run     struct{}
)

func (r *route) to(netip.AddrPort) {}

// Run has nothing to run.
func (e *Engine) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
