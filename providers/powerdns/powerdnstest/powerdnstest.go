// Package powerdnstest is a PowerDNS Authoritative Server's HTTP API in memory,
// as far as package powerdns uses it: a server with the backend gsqlite3 and
// one zone. It passes the same contract as Debian's pdns-server 4.7, from whose
// behaviour it was written, and
// https://doc.powerdns.com/authoritative/http-api/zone.html.
//
// It is an http.RoundTripper without sockets, so that it works in a bubble of
// testing/synctest, and safe for concurrent use.
package powerdnstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/veerdns/veer/providers"
)

// Key is the server's API key.
const Key = "a-key-of-tests"

// Rule is one that the server enforces, and can be told not to.
type Rule string

// The rules. Each is one that package powerdns rests on.
const (
	// Exclusive: a CNAME and another type cannot stand at one name, in the
	// order of the request's sets.
	Exclusive Rule = "a CNAME stands alone"
	// Atomic: one set that is refused refuses the whole request.
	Atomic Rule = "a request is made whole or not at all"
)

// Server is the server.
type Server struct {
	zone    string
	without Rule

	mu   sync.Mutex
	sets map[key]RRset
}

type key struct{ name, typ string }

// RRset is one of the API's.
type RRset struct {
	Name       string    `json:"name"`
	Type       string    `json:"type"`
	TTL        uint32    `json:"ttl"`
	ChangeType string    `json:"changetype,omitempty"`
	Records    []Record  `json:"records"`
	Comments   []Comment `json:"comments"`
}

// Record is one of a set.
type Record struct {
	Content  string `json:"content"`
	Disabled bool   `json:"disabled"`
}

// Comment belongs to a set.
type Comment struct {
	Content string `json:"content"`
	Account string `json:"account"`
}

// New makes a server with an empty zone; without is a rule that it forgets.
func New(zone string, without Rule) *Server {
	return &Server{zone: providers.CanonicalName(zone), without: without, sets: map[key]RRset{}}
}

// Writes reports whether the request writes.
func Writes(r *http.Request) bool { return r.Method == http.MethodPatch }

// RoundTrip implements http.RoundTripper.
func (s *Server) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		_ = req.Body.Close() // all of it was read
	}
	status, reply := s.serve(req, body)
	b, err := json.Marshal(reply)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b)), Request: req,
	}, nil
}

func (s *Server) serve(req *http.Request, body []byte) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ours := strings.CutPrefix(req.URL.Path, "/api/v1/servers/localhost/")
	switch {
	case req.Header.Get("X-API-Key") != Key:
		return http.StatusUnauthorized, "Unauthorized"
	case ours && path == "config" && req.Method == http.MethodGet:
		return http.StatusOK, []map[string]string{{"name": "launch", "value": "gsqlite3"}}
	case !ours || path != "zones/"+s.zone:
		return http.StatusNotFound, "Not Found"
	case req.Method == http.MethodGet:
		return http.StatusOK, map[string]any{"name": s.zone, "rrsets": s.list(req.URL.Query().Get("rrset_name"), req.URL.Query().Get("rrset_type"))}
	case req.Method != http.MethodPatch:
		return http.StatusMethodNotAllowed, "Method Not Allowed"
	}
	var p struct {
		RRsets []RRset `json:"rrsets"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	if err := s.patch(p.RRsets); err != nil {
		return http.StatusUnprocessableEntity, map[string]string{"error": err.Error()}
	}
	return http.StatusNoContent, nil
}

func (s *Server) list(name, typ string) []RRset {
	out := []RRset{}
	for k, set := range s.sets {
		if (name == "" || k.name == name) && (typ == "" || k.typ == typ) {
			out = append(out, set)
		}
	}
	slices.SortFunc(out, func(a, b RRset) int { return strings.Compare(a.Name+" "+a.Type, b.Name+" "+b.Type) })
	return out
}

// patch makes the changes in order, in a transaction.
func (s *Server) patch(sets []RRset) error {
	before, seen := maps.Clone(s.sets), map[[3]string]bool{}
	for _, set := range sets {
		set.Name = strings.ToLower(set.Name)
		once := [3]string{set.Name, set.Type, set.ChangeType}
		err := s.change(set)
		if seen[once] {
			err = refuse("Duplicate RRset %s IN %s with changetype: %s", set.Name, set.Type, set.ChangeType)
		}
		seen[once] = true
		if err != nil {
			if s.without != Atomic {
				s.sets = before
			}
			return err
		}
	}
	return nil
}

func (s *Server) change(set RRset) error {
	k := key{set.Name, set.Type}
	what := fmt.Sprintf("RRset %s IN %s: ", set.Name, set.Type)
	switch {
	case strings.ContainsFunc(set.Name, odd):
		return refuse("Name '%s' contains unsupported characters", set.Name)
	case !providers.InZone(set.Name, s.zone):
		return refuse("%sName is out of zone", what)
	case set.ChangeType == "DELETE":
		delete(s.sets, k)
		return nil
	case set.ChangeType != "REPLACE":
		return refuse("%schangetype not understood", what)
	}
	for _, r := range set.Records {
		if a, err := netip.ParseAddr(r.Content); (set.Type == "A" || set.Type == "AAAA") && (err != nil || a.Is4() != (set.Type == "A")) {
			return refuse("Record %s/%s '%s': Parsing record content: unable to parse IP address", set.Name, set.Type, r.Content)
		}
	}
	for other := range s.sets {
		if other.name == k.name && (other.typ == "CNAME") != (k.typ == "CNAME") && s.without != Exclusive {
			return refuse("%sConflicts with pre-existing RRset", what)
		}
	}
	was := s.sets[k]
	if set.Records == nil { // only what is sent is replaced
		set.Records, set.TTL = was.Records, was.TTL
	}
	if set.Comments == nil {
		set.Comments = was.Comments
	}
	set.ChangeType = ""
	s.sets[k] = set
	return nil
}

// odd are the bytes that the API takes in no name.
func odd(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._*", r)
}

// Put changes sets past every precondition, as somebody with the key does.
func (s *Server) Put(sets ...RRset) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range sets {
		if sets[i].ChangeType == "" {
			sets[i].ChangeType = "REPLACE"
		}
	}
	return s.patch(sets)
}

// All returns every set.
func (s *Server) All() []RRset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list("", "")
}

// refusal is a request that is refused, in the server's own words.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
