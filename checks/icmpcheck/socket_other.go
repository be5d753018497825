//go:build !linux

package icmpcheck

import (
	"errors"
	"net/netip"
)

func open(string, netip.Addr) (socket, error) { return nil, errors.ErrUnsupported }
