package rfc2136

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// Options are what New needs besides the config.
type Options struct {
	// Owner is this Veer's name in every zone: a DNS label.
	Owner string
	// Names are the services' names: all that `read: queries` can see.
	Names []string
	Log   zerolog.Logger
	// Dial makes connections; nil is a net.Dialer's, whose UDP ports are random.
	// A write to a TCP connection is one message with its length before it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the wall clock that TSIG needs; nil is time.Now.
	Now func() time.Time
}

// Provider implements providers.Provider, Prover, Keeper, Estimator and
// Follower.
type Provider struct {
	*fenced.Provider
	api *api
}

var _ providers.Follower = (*Provider)(nil)

// New makes the provider. It uses no network.
func New(c Config, o Options) (*Provider, error) {
	var problems []error
	c.Check(func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	})
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if c.signs() {
		if _, err := c.TSIG.read(); err != nil {
			return nil, err
		}
	} else {
		o.Log.Warn().Strs("servers", c.Servers).Msg("updates are not signed: whoever can send to the server can change the zone")
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &api{config: c, log: o.Log, client: &client{servers: c.Servers, tsig: c.TSIG, timeout: c.Timeout, dial: o.Dial, now: o.Now, log: o.Log}}
	for _, name := range o.Names {
		a.names = append(a.names, providers.CanonicalName(name))
	}
	slices.Sort(a.names)
	a.names = slices.Compact(a.names)
	return &Provider{fenced.New(a, fenced.Options{Owner: o.Owner, Zones: c.ZoneNames(), Log: o.Log}), a}, nil
}

// api implements fenced.API.
type api struct {
	config Config
	client *client
	names  []string
	log    zerolog.Logger

	mu       sync.Mutex
	changes  int
	accepted []change // the last ones, for Follow
}

var _ fenced.API = (*api)(nil)

// Caps implements fenced.API.
func (a *api) Caps() providers.Caps { return a.config.Caps() }

// Limit implements fenced.API: one message over TCP.
func (a *api) Limit() fenced.Size { return fenced.Size{Characters: largest} }

// Size implements fenced.API, in bytes.
func (a *api) Size(s fenced.Step) fenced.Size { return fenced.Size{Characters: sizeOf(s)} }

// Quota implements fenced.API.
func (a *api) Quota(calls int) string {
	return fmt.Sprintf("%d UPDATE messages of at most 64 KiB", calls)
}

// List implements fenced.API.
func (a *api) List(ctx context.Context, zone string) ([]fenced.Record, error) {
	if a.config.Read == ReadQueries {
		return a.client.look(ctx, zone, a.names)
	}
	return a.client.transfer(ctx, zone)
}

// Find implements fenced.API.
func (a *api) Find(ctx context.Context, zone, name, typ string) ([]fenced.Record, error) {
	found, err := a.client.lookup(ctx, name, dns.StringToType[typ])
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(r fenced.Record) bool { return r.Type != typ })
	if len(found) == 1 && ours(found[0]) {
		return found, nil
	}
	return a.client.real(ctx, zone, found)
}

// ours reports whether the record has a text that no wildcard would.
func ours(r fenced.Record) bool {
	if len(r.Data) != 1 || r.Type != "TXT" {
		return false
	}
	text, err := fenced.Text(r.Data[0])
	return err == nil && (strings.HasPrefix(text, "veer-fence ") || strings.HasPrefix(text, "veer-owner "))
}

// Swap implements fenced.API. A server that surely did nothing is followed by
// the next; one that may have done it is not.
func (a *api) Swap(ctx context.Context, zone string, r fenced.Request) (fenced.Reply, error) {
	out := fenced.Reply{Calls: 1}
	m, err := update(zone, r)
	if err != nil {
		return out, fmt.Errorf("%w: %w", fenced.ErrNothing, err)
	}
	p, err := a.client.pack(m)
	if err != nil {
		return out, fmt.Errorf("%w: %w", fenced.ErrNothing, err)
	}
	var errs []error
	refused, away := false, false
	for n, i := range a.client.order() {
		server := a.client.servers[i]
		out.Calls = n + 1
		reply, err := a.client.send(ctx, server, p)
		if ctx.Err() != nil && err != nil {
			return out, fmt.Errorf("server %s: %w", server, err)
		}
		if err == nil {
			err = result(reply)
		}
		switch {
		case err == nil:
			a.client.worked(i)
			a.client.primary.Store(int32(i)) // #nosec G115 -- a few
			out.Change = a.accept(zone, server)
			if r.Fence.After != nil {
				out.Fence = fenced.Record{RRSet: r.Fence.After.RRSet}
			}
			return out, a.confirm(ctx, zone, r)
		case errors.Is(err, errElsewhere):
			refused = true
		case errors.Is(err, errFailed):
			out.Change = a.accept(zone, server)
			return a.settle(ctx, zone, r, out, fmt.Errorf("server %s: %w", server, err))
		case !errors.Is(err, errUnsent):
			out.Change = a.accept(zone, server) // it may be
			return out, fmt.Errorf("server %s: %w", server, err)
		default:
			away = away || int32(i) == a.client.primary.Load() // #nosec G115 -- a few
		}
		errs = append(errs, fmt.Errorf("server %s: %w", server, err))
	}
	if refused && !away {
		return out, fmt.Errorf("%w: %w", fenced.ErrNothing, errors.Join(errs...))
	}
	return out, &providers.BusyError{Err: errors.Join(errs...)}
}

// errElsewhere means that a server surely did nothing, and another may.
var errElsewhere = errors.New("it takes no such update")

// errFailed means that a server has finished with an update, and failed.
var errFailed = errors.New("it has failed")

// settle finds out what a server did that says SERVFAIL. It has finished, so
// the fence tells: where it stands as it was, nothing was written, nor will be.
func (a *api) settle(ctx context.Context, zone string, r fenced.Request, out fenced.Reply, failed error) (fenced.Reply, error) {
	at := r.Fence.Before
	if at == nil {
		at = r.Fence.After
	}
	found, err := a.Find(ctx, zone, at.Name, at.Type)
	out.Calls++
	switch {
	case err != nil:
		return out, fmt.Errorf("%w; whether it was written is not known: %w", failed, err)
	case len(found) == 0 && r.Fence.Before == nil,
		len(found) == 1 && r.Fence.Before != nil && slices.Equal(found[0].Data, r.Fence.Before.Data):
		return out, &providers.BusyError{Err: failed}
	}
	return out, failed
}

// result is what a reply to an UPDATE means (RFC 2136, section 2.2). Only one
// that is proven tells that surely nothing was done.
func result(r reply) error {
	switch r.rcode() {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeNXRrset, dns.RcodeYXRrset, dns.RcodeNameError, dns.RcodeYXDomain:
		return fmt.Errorf("%w: %w", fenced.ErrRefused, explain(r))
	case dns.RcodeRefused, dns.RcodeNotAuth, dns.RcodeNotImplemented:
		if r.proven {
			return fmt.Errorf("%w: %w", errElsewhere, explain(r))
		}
	case dns.RcodeFormatError, dns.RcodeNotZone:
		if r.proven {
			return fmt.Errorf("%w: %w", fenced.ErrNothing, explain(r))
		}
	case dns.RcodeServerFailure:
		if r.proven {
			return fmt.Errorf("%w: %w", errFailed, explain(r))
		}
	}
	return explain(r)
}

// confirm asks whether the zone has what was written. A server may answer
// NOERROR and leave out what it does not take: PowerDNS what its policy does not
// allow, Knot an alias in the place of addresses where the zone is signed.
func (a *api) confirm(ctx context.Context, zone string, r fenced.Request) error {
	want, err := wanted(r)
	if err != nil || len(want) == 0 {
		return err
	}
	reply, err := a.client.ask(ctx, probe(zone, want))
	switch {
	case err != nil:
		a.log.Warn().Err(err).Str("zone", zone).Msg("an update was accepted; whether its records are there could not be asked")
	case reply.rcode() != dns.RcodeSuccess:
		name := want[0].Header().Name
		a.log.Error().Str("zone", zone).Str("server", reply.server).Str("first", name).Int("records", len(want)).
			Msg("an update was accepted, and its records are not as it has them: the server's policy may leave out what it does not allow, or somebody changed them at once")
		return fmt.Errorf("%w: server %s answers NOERROR, and %d records, the first at %s, are not as the update has them", fenced.ErrIncomplete, reply.server, len(want), name)
	}
	return nil
}

// change is one accepted update.
type change struct {
	id, zone string
	at       time.Time
}

// maxChanges is how many changes can be followed.
const maxChanges = 64

// accept remembers when an update was accepted, and by whom.
func (a *api) accept(zone, server string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes++
	c := change{fmt.Sprintf("%s %d by %s", zone, a.changes, server), zone, time.Now()}
	a.accepted = append(a.accepted, c)
	if len(a.accepted) > maxChanges {
		a.accepted = slices.Clone(a.accepted[1:])
	}
	return c.id
}
