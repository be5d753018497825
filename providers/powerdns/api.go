package powerdns

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// api implements fenced.API and fenced.Claimer.
type api struct {
	c    Config
	key  string
	base string
	http *http.Client

	mu sync.Mutex
	// serial: the server's backends were seen to run requests one by one.
	serial bool
}

// kept is a Record's Handle.
type kept struct {
	// count is the lock's, of a record that is swapped.
	count uint32
	// disabled are records of the set that the server does not serve.
	disabled []record
}

// Caps implements fenced.API.
func (a *api) Caps() providers.Caps { return a.c.Caps() }

// List implements fenced.API. The API has no pages.
func (a *api) List(ctx context.Context, zone string) ([]fenced.Record, error) {
	return a.sets(ctx, zone, nil)
}

// Find implements fenced.API.
func (a *api) Find(ctx context.Context, zone, name, typ string) ([]fenced.Record, error) {
	found, err := a.sets(ctx, zone, url.Values{"rrset_name": {name}, "rrset_type": {typ}})
	// An older server does not know the filter and sends the whole zone.
	return slices.DeleteFunc(found, func(r fenced.Record) bool { return r.Name != name || r.Type != typ }), err
}

func (a *api) sets(ctx context.Context, zone string, query url.Values) ([]fenced.Record, error) {
	var z struct {
		RRsets []rrset `json:"rrsets"`
	}
	if err := a.get(ctx, "/zones/"+url.PathEscape(zone), query, &z); err != nil {
		return nil, err
	}
	out := make([]fenced.Record, 0, len(z.RRsets))
	for _, s := range z.RRsets {
		if r, ok := s.record(); ok && !ofLock(r.Name) {
			out = append(out, r)
		}
	}
	return out, nil
}

// record turns a set of the API into ours. One whose records are all disabled
// is not served, and no name to write to: that would delete them.
func (s rrset) record() (fenced.Record, bool) {
	r := fenced.Record{RRSet: providers.RRSet{Name: providers.CanonicalName(s.Name), Type: strings.ToUpper(s.Type), TTL: s.TTL}}
	k := kept{}
	for _, rec := range s.Records {
		content := rec.Content
		if r.Type == "TXT" {
			content, k.count = uncounted(content)
		}
		if rec.Disabled {
			k.disabled = append(k.disabled, rec)
			continue
		}
		r.Data = append(r.Data, content)
	}
	r.Handle = k
	if len(r.Data) == 0 && providers.Steered(r.Type) {
		r.Foreign = "whoever disabled its records in PowerDNS"
		for _, rec := range k.disabled {
			r.Data = append(r.Data, rec.Content)
		}
	}
	return r, len(r.Data) > 0
}

// Swap implements fenced.API: one PATCH.
func (a *api) Swap(ctx context.Context, zone string, r fenced.Request) (fenced.Reply, error) {
	if err := a.checkBackend(ctx); err != nil {
		return fenced.Reply{Calls: 1}, err
	}
	sets := swap(r.Fence)
	for _, s := range r.Steps {
		sets = append(append(sets, latch(s)...), change(s))
	}
	err := a.patch(ctx, "/zones/"+url.PathEscape(zone), patch{sets})
	reply := fenced.Reply{Calls: 1}
	if r.Fence.After != nil {
		reply.Fence = *r.Fence.After
		l := lock{reply.Fence.Name, countOf(r.Fence.Before)}
		reply.Fence.Handle = kept{count: l.next(reply.Fence.Data[0])}
	}
	return reply, err
}

func countOf(before *fenced.Record) uint32 {
	if before == nil {
		return 0
	}
	k, _ := before.Handle.(kept)
	return k.count
}

// swap makes the fence's part of a request.
func swap(s fenced.Step) []rrset {
	set := s.After
	if set == nil {
		set = s.Before
	}
	l := lock{set.Name, countOf(s.Before)}
	if s.After == nil {
		return append(l.remove(), rrset{Name: set.Name, Type: "TXT", ChangeType: "DELETE"})
	}
	to := l.next(set.Data[0])
	return append(l.step(to), rrset{
		Name: set.Name, Type: "TXT", ChangeType: "REPLACE", TTL: set.TTL,
		Records: []record{{Content: counted(set.Data[0], to)}},
	})
}

// change makes one step. Comments that are not sent are kept, and disabled
// records are sent again.
func change(s fenced.Step) rrset {
	if s.After == nil {
		return rrset{Name: s.Before.Name, Type: s.Before.Type, ChangeType: "DELETE"}
	}
	out := rrset{Name: s.After.Name, Type: s.After.Type, ChangeType: "REPLACE", TTL: s.After.TTL}
	for _, d := range s.After.Data {
		out.Records = append(out.Records, record{Content: d})
	}
	if s.Before != nil {
		k, _ := s.Before.Handle.(kept)
		out.Records = append(out.Records, k.disabled...)
	}
	return out
}

// latch makes sure that of two owners only one marks a name: a request could
// not insist otherwise that the mark is not there.
func latch(s fenced.Step) []rrset {
	set := s.After
	if set == nil {
		set = s.Before
	}
	if _, mark := providers.OwnedName(set.Name); !mark || set.Type != "TXT" {
		return nil
	}
	l := lock{name: set.Name}
	switch {
	case s.Before == nil:
		return []rrset{l.bit(0, 0), l.clear(0, 0), l.bit(0, 1)}
	case s.After == nil:
		return []rrset{l.bit(0, 1), l.clear(0, 1)}
	}
	return nil
}

// maxRequest is what a PATCH may have in bytes: webserver-max-bodysize is 2 MB
// unless it is set (https://doc.powerdns.com/authoritative/settings.html).
const maxRequest = 1_900_000

// Limit implements fenced.API.
func (a *api) Limit() fenced.Size { return fenced.Size{Characters: maxRequest} }

// Size implements fenced.API: what the step is in JSON, at most.
func (a *api) Size(s fenced.Step) fenced.Size {
	const set, one = 120, 48
	size := set
	for _, r := range []*fenced.Record{s.Before, s.After} {
		if r == nil {
			continue
		}
		size += len(r.Name)
		for _, d := range r.Data {
			size += one + 2*len(d)
		}
	}
	if fence := s.After; fence != nil && fence.Type == "TXT" && strings.HasPrefix(fence.Name, "_veer-fence.") {
		size += 3 * bits * (set + one + len(fence.Name))
	}
	for _, l := range latch(s) {
		size += set + one + len(l.Name)
	}
	return fenced.Size{Characters: size}
}

// Quota implements fenced.API.
func (a *api) Quota(calls int) string {
	return fmt.Sprintf("%d PATCH of at most %d bytes; the server has no rate limit", calls, maxRequest)
}

// ClaimsFirst implements fenced.Claimer: a request cannot insist that a name
// has no records.
func (a *api) ClaimsFirst() bool { return true }

// unasked tells what the server says for good from what another try may mend.
// Nothing was written either way.
func unasked(ctx context.Context, err error) error {
	var said *errServer
	var busy *providers.BusyError
	switch {
	case ctx.Err() != nil || errors.As(err, &busy):
		return err
	case errors.As(err, &said) && said.status < http.StatusInternalServerError:
		return fmt.Errorf("%w: %w", fenced.ErrNothing, err)
	}
	return &providers.BusyError{Err: err}
}

// checkBackend refuses a server on which two requests can both pass.
func (a *api) checkBackend(ctx context.Context) error {
	a.mu.Lock()
	known := a.serial
	a.mu.Unlock()
	if known {
		return nil
	}
	var launch struct {
		Value string `json:"value"`
	}
	var settings []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	if err := a.get(ctx, "/config", nil, &settings); err != nil {
		return unasked(ctx, fmt.Errorf("asking for the server's backends: %w", err))
	}
	for _, s := range settings {
		if s.Name == "launch" {
			launch.Value = s.Value
		}
	}
	for _, b := range strings.FieldsFunc(launch.Value, func(r rune) bool { return r == ',' || r == ' ' }) {
		kind, _, _ := strings.Cut(b, ":")
		if kind != "gsqlite3" && kind != "lmdb" {
			return fmt.Errorf("%w: %w: the server's backend is %s, on which two requests at the same moment can both pass: use it by kind rfc2136, or move the zone to gsqlite3 or lmdb", fenced.ErrNothing, providers.ErrUnproven, kind)
		}
	}
	if launch.Value == "" {
		return fmt.Errorf("%w: %w: the server does not tell its backend (setting launch)", fenced.ErrNothing, providers.ErrUnproven)
	}
	a.mu.Lock()
	a.serial = true
	a.mu.Unlock()
	return nil
}
