// Package cloudflare writes zones at Cloudflare by its v4 API
// (https://developers.cloudflare.com/api/resources/dns/subresources/records/).
//
// One write is one batch: the old fence is deleted by its record id and the new
// one created, with all changes, in one transaction. A batch compares nothing
// but ids: what somebody did to an owned set between the read and the write is
// overwritten, and a name is claimed before its first record is made, so that
// no record of somebody else's comes under an owned name unseen (docs/adr/0009).
//
// Answers change by patches: each record propagates by itself, so that no batch
// deletes the last record of a name and type that goes on. What Veer does not
// set (proxied, comment, tags, settings) stays, and a record that joins a set
// takes it from those that are there.
//
// A proxied record has no TTL of its own: its set is read with AutoTTL, which
// equals every TTL that is wanted, and none is written to it.
package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// Provider writes the zones of one Config.
type Provider struct {
	*fenced.Provider
}

// Options are what New needs besides the Config.
type Options struct {
	// Owner is this Veer's name in every zone: a DNS label.
	Owner string
	Log   zerolog.Logger
	// Transport carries the requests; nil is the default one.
	Transport http.RoundTripper
}

// New makes the provider. It asks the API nothing.
func New(c Config, o Options) (*Provider, error) {
	var problems []error
	c.Check(func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("cloudflare: %s: %s", field, fmt.Sprintf(format, args...)))
	})
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	a := &api{config: c.withDefaults(), owner: o.Owner, log: o.Log, zones: newZones(c)}
	a.client = newClient(a.config, o)
	return &Provider{fenced.New(a, fenced.Options{Owner: o.Owner, Zones: c.ZoneNames(), Log: o.Log})}, nil
}

// api implements fenced.API and fenced.Claimer.
type api struct {
	config Config
	owner  string
	log    zerolog.Logger
	client *client
	zones  *zones
}

var (
	_ fenced.API     = (*api)(nil)
	_ fenced.Claimer = (*api)(nil)
)

// Caps implements fenced.API.
func (a *api) Caps() providers.Caps { return a.config.Caps() }

// ClaimsFirst implements fenced.Claimer.
func (a *api) ClaimsFirst() bool { return true }

// Limit implements fenced.API.
func (a *api) Limit() fenced.Size { return fenced.Size{Records: a.config.Batch} }

// latch is the text of the latch beside a fence, whoever made it.
func (a *api) latch() string { return providers.FirstFence(a.owner).String() }

// Size implements fenced.API: every record that is deleted, patched or made
// counts. A fence is one that goes, one that comes, and a latch that may have to
// be made anew.
func (a *api) Size(s fenced.Step) fenced.Size {
	if s.After != nil && strings.HasPrefix(s.After.Name, "_veer-fence.") {
		return fenced.Size{Records: 3}
	}
	var b batch
	if err := b.add(s); err != nil {
		// It will be refused for what it is, not for its size.
		return fenced.Size{}
	}
	return fenced.Size{Records: b.size()}
}

// Quota implements fenced.API.
func (a *api) Quota(calls int) string {
	return fmt.Sprintf("%d of the %d API requests in 5 minutes", calls, a.config.Requests)
}

// Swap implements fenced.API: one batch.
func (a *api) Swap(ctx context.Context, zone string, r fenced.Request) (fenced.Reply, error) {
	reply, err := a.swap(ctx, zone, r)
	return reply, classify(err)
}

func (a *api) swap(ctx context.Context, zone string, r fenced.Request) (fenced.Reply, error) {
	reply := fenced.Reply{}
	id, err := a.zoneID(ctx, zone)
	if err != nil {
		return reply, unsent(err)
	}
	var b batch
	for _, s := range r.Steps {
		if err := b.add(s); err != nil {
			return reply, unsent(err)
		}
	}
	before, err := a.standing(ctx, zone, id, r.Fence.Before)
	if err != nil {
		return reply, err
	}
	if err := b.swap(a.latch(), before, r.Fence.After); err != nil {
		return reply, unsent(err)
	}
	if b.size() > a.config.Batch {
		return reply, unsent(fmt.Errorf("a batch of %d records; the limit is %d", b.size(), a.config.Batch))
	}
	reply.Calls++
	made, err := a.client.batch(ctx, id, b)
	if err != nil {
		return reply, fmt.Errorf("changing %d records of %s: %w", b.size(), zone, err)
	}
	if after := r.Fence.After; after != nil {
		reply.Fence = fenced.Record{RRSet: after.RRSet, Handle: made.handle(before, *after, a.latch())}
	}
	return reply, nil
}

// standing returns the fence that is to be replaced, with its ids.
func (a *api) standing(ctx context.Context, zone, id string, before *fenced.Record) (*fenced.Record, error) {
	if before == nil || handle(*before) != nil {
		return before, nil
	}
	// A reply that did not name the record that it made.
	found, err := a.find(ctx, zone, id, before.Name, before.Type)
	if err != nil {
		return nil, unsent(err)
	}
	if found == nil || !sameData(*found, *before) {
		return nil, fmt.Errorf("%w: %s is not what it was", fenced.ErrRefused, before.Name)
	}
	return found, nil
}
