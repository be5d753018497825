//go:build !linux

package httpcheck

import (
	"context"
	"errors"
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

// Run is for Linux only.
func (e *Engine) Run(context.Context) error { return errors.ErrUnsupported }
