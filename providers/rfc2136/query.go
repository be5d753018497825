package rfc2136

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// askers is how many queries are under way at once.
const askers = 8

// errReferral means that a server has no authority for a name.
var errReferral = errors.New("the answer is not authoritative")

// lookup asks for one name and type, and returns the sets of that type at that
// name, or its CNAME, which is in the answer too (RFC 1034, section 4.3.2).
// Sets that a wildcard makes up are among them.
func (c *client) lookup(ctx context.Context, name string, typ uint16) ([]fenced.Record, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, typ)
	q.RecursionDesired = false
	r, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	switch {
	case r.rcode() != dns.RcodeSuccess && r.rcode() != dns.RcodeNameError:
		return nil, explain(r)
	case !r.authoritative():
		return nil, fmt.Errorf("server %s: %w: the name is in a zone of its own, or the server is not the zone's", r.server, errReferral)
	}
	rrs, err := r.answers(func(t uint16) bool { return t == typ && kept(t) || t == dns.TypeCNAME })
	if err != nil {
		return nil, err
	}
	var s sets
	for _, rr := range rrs {
		if providers.CanonicalName(rr.Header().Name) != name {
			continue // where its CNAME leads
		}
		if err := s.add(rr); err != nil {
			return nil, err
		}
	}
	return s.list, nil
}

// real leaves out the sets that a wildcard has made up (RFC 4592): one question
// for all, and one for each where that is refused.
func (c *client) real(ctx context.Context, zone string, found []fenced.Record) ([]fenced.Record, error) {
	if len(found) == 0 {
		return nil, nil
	}
	places := make([]place, len(found))
	for i := range found {
		places[i] = placeOf(&found[i])
	}
	const each = 500 // so that they fit in a message
	var out []fenced.Record
	for from := 0; from < len(found); from += each {
		to := min(from+each, len(found))
		all, err := c.exist(ctx, zone, places[from:to])
		if err != nil {
			return nil, err
		}
		if all {
			out = append(out, found[from:to]...)
			continue
		}
		for i := from; i < to; i++ {
			there := false
			if to-from > 1 {
				if there, err = c.exist(ctx, zone, places[i:i+1]); err != nil {
					return nil, err
				}
			}
			if there {
				out = append(out, found[i])
			}
		}
	}
	return out, nil
}

// exist reports whether the zone has a set at each place.
func (c *client) exist(ctx context.Context, zone string, places []place) (bool, error) {
	r, err := c.ask(ctx, probe(zone, nil, places...))
	if err != nil {
		return false, fmt.Errorf("asking whether a wildcard made up what was found: %w", err)
	}
	switch r.rcode() {
	case dns.RcodeSuccess:
		return true, nil
	case dns.RcodeNXRrset:
		return false, nil
	}
	return false, explain(r)
}

// look reads the zone by queries for the names and their owners' marks.
func (c *client) look(ctx context.Context, zone string, names []string) ([]fenced.Record, error) {
	type question struct {
		name string
		typ  uint16
	}
	var questions []question
	for _, name := range names {
		if providers.InZone(name, zone) {
			questions = append(questions, question{name, dns.TypeA}, question{name, dns.TypeAAAA}, question{providers.OwnerName(name), dns.TypeTXT})
		}
	}
	found, errs := make([][]fenced.Record, len(questions)), make([]error, len(questions))
	next := make(chan int)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	for range min(askers, len(questions)) {
		workers.Go(func() {
			for i := range next {
				q := questions[i]
				if found[i], errs[i] = c.lookup(ctx, q.name, q.typ); errs[i] != nil {
					errs[i] = fmt.Errorf("asking for %s %s: %w", q.name, dns.Type(q.typ), errs[i])
					cancel()
				}
			}
		})
	}
	for i := range questions {
		next <- i
	}
	close(next)
	workers.Wait()
	if err := first(errs); err != nil {
		return nil, err
	}
	var all []fenced.Record
	seen := map[providers.Key]bool{} // a CNAME answers A and AAAA
	for _, list := range found {
		for _, r := range list {
			if !seen[r.Key()] {
				seen[r.Key()] = true
				all = append(all, r)
			}
		}
	}
	return c.real(ctx, zone, all)
}

// first is the error that ended the others.
func first(errs []error) error {
	var out error
	for _, err := range errs {
		if err != nil && (out == nil || errors.Is(out, context.Canceled)) {
			out = err
		}
	}
	return out
}
