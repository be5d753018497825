package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/steering"
)

// daemonClient is what the commands need of a daemon; api.Client is one. Each
// call ends soon after its context does.
type daemonClient interface {
	Status(ctx context.Context) (api.Status, error)
	// Explain takes the time to explain (RFC 3339); empty is now.
	Explain(ctx context.Context, name, at string) (api.Explain, error)
	// Journal returns the newest limit entries, oldest first.
	Journal(ctx context.Context, name string, limit int) ([]steering.Entry, error)
	// Order and EndOrder only say what would move with dryRun.
	Order(ctx context.Context, r api.OrderRequest, dryRun bool) (api.OrderResult, error)
	EndOrder(ctx context.Context, r api.OrderRequest, dryRun bool) (api.OrderResult, error)
}

func dialDaemon(socket string) daemonClient { return api.NewClient(socket) }

// daemon returns the client of the daemon that the flags and the config name.
func (a *app) daemon() (daemonClient, error) {
	if a.socket != "" {
		return a.dial(a.socket), nil
	}
	dir, err := a.dataFolder()
	if err != nil {
		return nil, fmt.Errorf("finding the daemon's socket (--socket or --data-dir name it too): %w", err)
	}
	return a.dial(filepath.Join(dir, api.SocketName)), nil
}
