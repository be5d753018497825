// Package cloudflaretest emulates what Veer uses of Cloudflare's v4 API: the
// listing of zones and of DNS records, and the batch
// (https://developers.cloudflare.com/api/resources/dns/subresources/records/).
//
// A Server is an http.Handler and an http.RoundTripper. Each rule of the API
// that it keeps is a Rule, which can be switched off to show that a test needs
// it. It takes its time from the time package, so that it works in a synctest
// bubble, and is safe for concurrent use.
//
// Assumptions, of what no page says:
//   - An identical record (same name, type and content, whatever else) is
//     refused with 81058, as users of the API report
//     (https://github.com/simplesurance/cfdns/pull/17).
//   - A missing record is refused with 404 and 81044 in a batch as in a single
//     request.
//   - Characters other than letters, digits, hyphens, underscores and a first
//     label * in a name are refused with 9000.
//   - A batch over the limit is refused with 400; its code is not known, and
//     1004 stands for it.
//   - A write is seen by the next listing: both ask the same database.
//   - A request without the permission is refused with 403 and 10000, a token
//     that is none with 401 and 1000.
//   - Of records that are listed by name, those of one name keep their order.
package cloudflaretest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Rule is one rule of the API.
type Rule string

// The rules, each with its page.
const (
	// Order: deletes, patches, puts, posts, whatever the order in the body.
	// https://developers.cloudflare.com/dns/manage-dns-records/how-to/batch-record-changes/
	Order Rule = "order of operations"
	// Transaction: a batch is done as a whole or not at all. Same page.
	Transaction Rule = "one transaction"
	// Missing: a delete or patch of an id that is not there aborts. Same page
	// ("if any of the individual action fails, no changes are applied").
	Missing Rule = "a missing id aborts"
	// Limit: a batch has no more records than the plan allows. Same page.
	Limit Rule = "records of a batch"
	// Keep: a patch leaves what it does not name. Same page.
	Keep Rule = "a patch keeps what it does not name"
	// Identical: see the assumptions.
	Identical Rule = "identical records are refused"
	// Alone: a CNAME stands beside no A, AAAA or other CNAME.
	// https://developers.cloudflare.com/dns/manage-dns-records/troubleshooting/records-with-same-name/
	Alone Rule = "a CNAME stands alone"
	// Throttle: 1,200 requests in five minutes, then 429 with Retry-After.
	// https://developers.cloudflare.com/fundamentals/api/reference/limits/
	Throttle Rule = "requests in five minutes"
	// TTLs: 1, or 60 (enterprise: 30) to 86400.
	// https://developers.cloudflare.com/dns/manage-dns-records/reference/ttl/
	TTLs Rule = "bounds of TTLs"
	// Proxied: the TTL of a proxied record is 1. Same page.
	Proxied Rule = "a proxied record's TTL is automatic"
	// Proxiable: only A, AAAA and CNAME records can be proxied.
	// https://developers.cloudflare.com/dns/manage-dns-records/reference/dns-record-types/
	Proxiable Rule = "what can be proxied"
	// Content: addresses are of their family, TXT is in quotes. Same page.
	Content Rule = "content of its type"
	// Canonical: addresses are kept as RFC 5952 writes them. Same page.
	Canonical Rule = "addresses in canonical form"
	// Names: the characters of names. Same page, and see the assumptions.
	Names Rule = "characters of names"
	// Append: a name that is not in the zone gets the zone's name appended.
	// https://developers.cloudflare.com/dns/manage-dns-records/how-to/create-dns-records/
	Append Rule = "names are in the zone"
	// Fold: names are kept in lower case.
	// https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/create/
	Fold Rule = "names in lower case"
	// Scopes: each request needs a permission of the token.
	// https://developers.cloudflare.com/fundamentals/api/reference/permissions/
	Scopes Rule = "permissions of the token"
	// Paging: a page has per_page records at most, 100 if not said.
	// https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/list/
	Paging Rule = "pages"
	// Filters: name.exact and type. Same page.
	Filters Rule = "filters of the listing"
	// Fresh: an id is random and never used again. (Assumption.)
	Fresh Rule = "ids are never used again"
)

// AllRules is every rule.
var AllRules = []Rule{Order, Transaction, Missing, Limit, Keep, Identical, Alone, Throttle, TTLs, Proxied, Proxiable, Content, Canonical, Names, Append, Fold, Scopes, Paging, Filters, Fresh}

// Permission is what a token may do.
type Permission string

// The permissions.
const (
	DNSRead  Permission = "Zone.DNS Read"
	DNSEdit  Permission = "Zone.DNS Edit"
	ZoneRead Permission = "Zone.Zone Read"
)

// Token is one that a new Server knows, with every permission.
const Token = "emulated-token-0123456789abcdefghij"

// Server is the emulated API.
type Server struct {
	mu       sync.Mutex
	off      map[Rule]bool
	zones    []*zone
	tokens   map[string][]Permission
	calls    map[string]int
	requests int
	sent     []time.Time
	blocked  time.Time
	seq      int
	free     []string
	// before is called without the lock when a request arrives.
	before func(*http.Request)
}

// zone is one zone, with its records in the order in which they were made.
type zone struct {
	id, name, plan string
	records        []*Record
	at             *at // nil: to be made
}

// New returns a server without zones.
func New() *Server {
	return &Server{off: map[Rule]bool{}, calls: map[string]int{}, requests: 1200,
		tokens: map[string][]Permission{Token: {DNSRead, DNSEdit, ZoneRead}}}
}

// Without switches rules off.
func (s *Server) Without(rules ...Rule) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rules {
		s.off[r] = true
	}
	return s
}

// AddZone makes an empty zone of a plan (free, pro, business or enterprise),
// and returns its id. Several may have one name.
func (s *Server) AddZone(name, plan string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := &zone{id: random(), name: strings.ToLower(strings.TrimSuffix(name, ".")), plan: plan}
	s.zones = append(s.zones, z)
	return z.id
}

// DropZone removes a zone.
func (s *Server) DropZone(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones = slices.DeleteFunc(s.zones, func(z *zone) bool { return z.id == id })
}

// SetToken makes a token known with these permissions; none makes it unknown.
func (s *Server) SetToken(token string, may ...Permission) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = may
	if len(may) == 0 {
		delete(s.tokens, token)
	}
}

// SetRequests sets how many requests are let through in five minutes.
func (s *Server) SetRequests(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = n
}

// Before makes do be called with every request that arrives, before it is
// looked at; nil calls nothing.
func (s *Server) Before(do func(*http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = do
}

// Calls returns how many requests of each kind were let through: "zones",
// "list", "find" (a listing of one name) and "batch", and "throttled".
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.calls))
	for k, v := range s.calls {
		out[k] = v
	}
	return out
}

// IsWrite tells requests that write.
func IsWrite(r *http.Request) bool { return r.Method != http.MethodGet }

// RoundTrip implements http.RoundTripper: the request is served without a
// network.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, in)
	if err := in.Body.Close(); err != nil {
		return nil, err
	}
	reply := w.Result()
	reply.Request = r
	return reply, nil
}

// maxBody bounds a request's body.
const maxBody = 16 << 20

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		before(r)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client is gone
	}
	s.mu.Lock()
	status, header, reply := s.serve(r, body)
	s.mu.Unlock()
	for k, v := range header {
		w.Header().Set(k, v)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.Copy(w, bytes.NewReader(reply)) //nolint:errcheck // the client may be gone
}

func (s *Server) on(r Rule) bool { return !s.off[r] }

// random returns an identifier as the API has them.
func random() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// id returns a new record's id.
func (s *Server) id() string {
	if s.on(Fresh) {
		return random()
	}
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		return id
	}
	s.seq++
	return fmt.Sprintf("%032x", s.seq)
}
