package main

import (
	"context"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// daemonClient is what the commands need of a daemon; api.Client is one. Each
// call ends soon after its context does.
type daemonClient interface {
	Status(ctx context.Context) (api.Status, error)
	// ExplainFor takes the time to explain (RFC 3339; empty is now), and the
	// address of a client, or none.
	ExplainFor(ctx context.Context, name, at, client string) (api.Explain, error)
	// Journal returns the newest limit entries, oldest first, with moved only
	// those that moved an answer.
	Journal(ctx context.Context, name string, limit int, moved bool) ([]steering.Entry, error)
	// Notes returns the newest limit notes on orders, oldest first.
	Notes(ctx context.Context, limit int) ([]api.Note, error)
	// Exports returns the heads of the journal's outputs.
	Exports(ctx context.Context) ([]api.Export, error)
	// Order and EndOrder only say what would move with dryRun.
	Order(ctx context.Context, r api.OrderRequest, dryRun bool) (api.OrderResult, error)
	EndOrder(ctx context.Context, r api.OrderRequest, dryRun bool) (api.OrderResult, error)
	// Takeover begins a takeover, or with dryRun says what it would claim.
	Takeover(ctx context.Context, r api.TakeoverRequest, dryRun bool) (api.Takeover, error)
	EndTakeover(ctx context.Context, r api.TakeoverRequest) (api.TakeoverEnd, error)
	// Once has the daemon make a pass now.
	Once(ctx context.Context) (api.Pass, error)
	// Plan says what would be written, with prune also what would be deleted.
	Plan(ctx context.Context, prune bool) (api.Plan, error)
	// Standing tells how names stand in the written zones.
	Standing(ctx context.Context, names []string) ([]api.Standing, error)
	// Members lists the etcd members; ChangeMember adds or removes one.
	Members(ctx context.Context) (api.Members, error)
	ChangeMember(ctx context.Context, r api.MemberRequest) (api.MemberResult, error)
	// Apply has the leader write.
	Apply(ctx context.Context, r controller.Request) (api.Applied, error)
	// Backup returns a backup's file, and Restore restores one.
	Backup(ctx context.Context) ([]byte, error)
	Restore(ctx context.Context, file []byte, r api.RestoreRequest) (api.Restored, error)
}

func dialDaemon(socket string) daemonClient { return api.NewClient(socket) }
