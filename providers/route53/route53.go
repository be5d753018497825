// Package route53 writes answers into hosted zones of Amazon Route 53, API
// version 2013-04-01.
//
// A write is one ChangeResourceRecordSets request, which Route 53 does whole or
// not at all
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html):
// DELETE of the fence exactly as it was read, CREATE of the next one, and
// DELETE and CREATE of what changes. A DELETE that does not give a set's values
// exactly is refused, and so is a CREATE over a set that exists; hence so is
// every write made on what is no longer there (Caps.Exact). It costs no more
// than UPSERT, which counts twice. The SDK never repeats a write. A name is
// claimed before its first record, since a set of another type made by hand
// meanwhile refuses nothing.
//
// Records are simple or weighted, or as the config says multivalue answers or
// aliases. What others made with another routing policy, and what leads to
// resources that the config does not list, is not touched, nor is anything else
// at its name. Health checks of replaced sets are kept.
//
// All requests of one Config share token buckets like Route 53's own.
package route53

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// Provider implements providers.Provider and, beyond what fenced does,
// providers.Follower. It is safe for concurrent use.
type Provider struct {
	*fenced.Provider
	api *api
}

var (
	_ providers.Provider = (*Provider)(nil)
	_ providers.Follower = (*Provider)(nil)
)

// Options are what New needs besides the Config.
type Options struct {
	// Owner is this Veer's name in every zone: a DNS label.
	Owner string
	Log   zerolog.Logger
	// Transport carries the requests to Route 53 and to STS; nil is the SDK's.
	Transport http.RoundTripper
}

// New makes the provider. It reads the SDK's config files, and sends nothing.
func New(c Config, o Options) (*Provider, error) {
	c = c.Defaults()
	a := &api{config: c, owner: o.Owner, log: o.Log, zones: make(map[string]*zone, len(c.Zones)), accepted: make(map[string]time.Time)}
	for i, name := range c.ZoneNames() {
		a.zones[name] = &zone{Zone: c.Zones[i], name: name}
	}
	if err := a.connect(o.Transport); err != nil {
		return nil, err
	}
	return &Provider{
		Provider: fenced.New(a, fenced.Options{Owner: o.Owner, Zones: c.ZoneNames(), Log: o.Log}),
		api:      a,
	}, nil
}

// api implements fenced.API and fenced.Claimer.
type api struct {
	config      Config
	owner       string
	log         zerolog.Logger
	client      *sdk.Client
	credentials *aws.CredentialsCache
	zones       map[string]*zone

	mu sync.Mutex
	// accepted tells when the last change of each zone was accepted, by the
	// change's id.
	accepted map[string]time.Time
}

// zone is a zone of the config, and its id when that is known.
type zone struct {
	Zone
	name string

	mu   sync.Mutex
	id   string // found by looking the name up
	last string // id of the last change
}

var _ fenced.Claimer = (*api)(nil)

// ClaimsFirst implements fenced.Claimer: a batch refuses to create a set that
// exists, but not to create one beside sets of other types.
func (a *api) ClaimsFirst() bool { return true }

// Caps implements fenced.API.
func (a *api) Caps() providers.Caps { return a.config.Caps() }

// forget drops cached credentials.
func (a *api) forget() {
	if a.credentials != nil {
		a.credentials.Invalidate()
	}
}

// ZoneIDs returns the hosted zones' ids by zone name, looking up those that
// the config does not give.
func (p *Provider) ZoneIDs(ctx context.Context) (map[string]string, error) {
	ids := make(map[string]string, len(p.api.zones))
	for _, name := range p.api.config.ZoneNames() {
		id, err := p.api.zoneID(ctx, name)
		if err != nil {
			return nil, err
		}
		ids[name] = id
	}
	return ids, nil
}
