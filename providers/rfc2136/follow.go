package rfc2136

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// How often a secondary is asked that does not have a change yet.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 2 * time.Second
)

// Follow implements providers.Follower: it asks every secondary for the zone's
// SOA until its serial has reached the primary's after the update (RFC 1982).
// The queries are not signed: a secondary need not have the key, and nothing
// but a time comes of them.
func (p *Provider) Follow(ctx context.Context, r providers.Receipt) (time.Duration, error) {
	a := p.api
	a.mu.Lock()
	i := slices.IndexFunc(a.accepted, func(c change) bool { return c.id == r.Change })
	var c change
	if i >= 0 {
		c = a.accepted[i]
	}
	a.mu.Unlock()
	if i < 0 {
		return 0, fmt.Errorf("follow the change %q: it is not one of the last %d", r.Change, maxChanges)
	}
	took, err := a.follow(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("follow a change of zone %s: %w", c.zone, err)
	}
	return took, nil
}

func (a *api) follow(ctx context.Context, c change) (time.Duration, error) {
	want, err := a.client.serial(ctx, c.zone)
	if err != nil {
		return 0, fmt.Errorf("asking the primary for its serial: %w", err)
	}
	secondaries := a.config.Secondaries
	if len(secondaries) == 0 {
		if secondaries, err = a.client.nameServers(ctx, c.zone); err != nil {
			return 0, err
		}
	}
	var last time.Duration
	for _, s := range secondaries {
		reached, err := a.await(ctx, s, c.zone, want)
		if err != nil {
			return 0, fmt.Errorf("secondary %s does not have serial %d: %w", s, want, err)
		}
		last = max(last, reached.Sub(c.at))
	}
	return last, nil
}

// await asks one secondary until it has the serial, and returns when it had.
func (a *api) await(ctx context.Context, server, zone string, want uint32) (time.Time, error) {
	one := &client{servers: []string{server}, timeout: a.client.timeout, dial: a.client.dial, now: a.client.now, log: a.log}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		select {
		case <-ctx.Done():
			return time.Time{}, errors.Join(ctx.Err(), last)
		case <-timer.C:
		}
		have, err := one.serial(ctx, zone)
		if err == nil && !before(have, want) {
			return time.Now(), nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("it has serial %d", have)
		}
		timer.Reset(wait)
	}
}

// before reports whether serial a is less than b (RFC 1982, section 3.2). Of
// two that are 2^31 apart neither is.
func before(a, b uint32) bool { return int32(b-a) > 0 } // #nosec G115 -- the wrap is the point

// serial asks for the zone's SOA.
func (c *client) serial(ctx context.Context, zone string) (uint32, error) {
	rrs, err := c.apex(ctx, zone, dns.TypeSOA)
	if err != nil {
		return 0, err
	}
	return rrs[0].(*dns.SOA).Serial, nil
}

// nameServers are the addresses of the zone's name servers, by name.
func (c *client) nameServers(ctx context.Context, zone string) ([]string, error) {
	rrs, err := c.apex(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, rr := range rrs[:min(len(rrs), maxServers)] {
		out = append(out, net.JoinHostPort(strings.TrimSuffix(rr.(*dns.NS).Ns, "."), "53"))
	}
	return out, nil
}

// apex asks for a set of the zone's own name: at least one record.
func (c *client) apex(ctx context.Context, zone string, typ uint16) ([]dns.RR, error) {
	q := new(dns.Msg)
	q.SetQuestion(zone, typ)
	q.RecursionDesired = false
	r, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if r.rcode() != dns.RcodeSuccess || !r.authoritative() {
		return nil, fmt.Errorf("server %s: %w for the zone", r.server, errReferral)
	}
	rrs, err := r.answers(func(t uint16) bool { return t == typ })
	if err != nil {
		return nil, err
	}
	rrs = slices.DeleteFunc(rrs, func(rr dns.RR) bool { return providers.CanonicalName(rr.Header().Name) != zone })
	if len(rrs) == 0 {
		return nil, fmt.Errorf("server %s has no %s for %s", r.server, dns.Type(typ), zone)
	}
	return rrs, nil
}
