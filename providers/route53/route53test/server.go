// Package route53test emulates Amazon Route 53's API, version 2013-04-01, and
// of AWS STS what gives temporary credentials, for tests with the real SDK.
//
// A Server is an http.Handler for an httptest.Server, and an http.RoundTripper
// that needs no socket, so that it works in a synctest bubble; its clock is
// time.Now. Rules lists what it enforces and where that is stated.
//
// What no page states is assumed:
//   - changes of a batch are checked in their order, on what the ones before
//     left; all errors are listed;
//   - the texts of InvalidChangeBatch are those of replies that were published;
//     others than "Tried to ..." may be worded otherwise;
//   - a DELETE must give health check and alias target exactly, too;
//   - weighted sets may have several values, though API_ResourceRecordSet says
//     one: such sets are in use;
//   - an alias counts as one ResourceRecord element;
//   - the size of the bucket of changes, which accounts are told apart;
//   - what is listed is what was accepted, PENDING or not, at once.
package route53test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// The account's long-term credentials.
const (
	AccessKey = "AKIAEMULATOR00000000"
	SecretKey = "emulator/secret/key/0000000000000000000A"
	// Account is the account's number.
	Account = "123456789012"
)

// Options are what a Server is made of.
type Options struct {
	Zones []Zone
	// Without switches rules off.
	Without []Rule
	// Region is what signatures must be for; empty is us-east-1.
	Region string
	// Propagation is how long a change stays PENDING.
	Propagation time.Duration
	// Processing is how long a change keeps its zone busy.
	Processing time.Duration
	// Rate and Burst are of the account's bucket and each action's; 0 are 10
	// and 50. ChangeRate and ChangeBurst are of the bucket of changes; 0 is no
	// bound.
	Rate        float64
	Burst       int
	ChangeRate  float64
	ChangeBurst int
	// PlainErrors gives InvalidChangeBatch as one text in an ErrorResponse, as
	// some replies have it, and not as a list of messages.
	PlainErrors bool
	// Roles can be assumed, by ARN. Sessions last for Session; 0 is an hour.
	Roles   map[string]Role
	Session time.Duration
	// Policy is the IAM policy, JSON, of all credentials; nil allows all.
	Policy []byte
}

// Zone is a hosted zone, empty but for its apex's NS and SOA.
type Zone struct {
	ID, Name string
	Private  bool
	VPCs     []string
}

// Role is one that STS gives credentials of.
type Role struct {
	// ExternalID is asked for by AssumeRole, if not empty; Token by
	// AssumeRoleWithWebIdentity.
	ExternalID, Token string
}

// Server is the emulated API. It is safe for concurrent use.
type Server struct {
	options Options
	without map[Rule]bool
	policy  *policy

	mu       sync.Mutex
	zones    map[string]*zone
	changes  map[string]time.Time // when each was accepted
	sessions map[string]session   // by access key
	buckets  map[string]*bucket
	calls    map[string]int
	faults   map[string][]fault
	log      []string
	serial   int
}

// fault is a reply in place of the API's own.
type fault struct {
	status        int
	code, message string
}

// New makes a server.
func New(o Options) (*Server, error) {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Rate == 0 {
		o.Rate = 10
	}
	if o.Burst == 0 {
		o.Burst = 50
	}
	if o.Session == 0 {
		o.Session = time.Hour
	}
	s := &Server{
		options: o, without: make(map[Rule]bool), zones: make(map[string]*zone), changes: make(map[string]time.Time),
		sessions: map[string]session{AccessKey: {secret: SecretKey}}, buckets: make(map[string]*bucket),
		calls: make(map[string]int), faults: make(map[string][]fault),
	}
	for _, r := range o.Without {
		s.without[r] = true
	}
	for _, z := range o.Zones {
		s.zones[z.ID] = newZone(z)
	}
	return s, s.SetPolicy(o.Policy)
}

// SetPolicy gives all credentials the policy; nil allows all.
func (s *Server) SetPolicy(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy = nil
	if text == nil {
		return nil
	}
	p, err := parsePolicy(text)
	s.policy = p
	return err
}

// Fail makes the next request of the action be answered with an error, and not
// done. An empty code answers with text that is no error of the API's.
func (s *Server) Fail(action string, status int, code, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[action] = append(s.faults[action], fault{status, code, message})
}

// Calls returns how many requests each action had, refused ones included.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// Log returns one line for each request: the action and the code of what came
// of it.
func (s *Server) Log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

// RoundTrip implements http.RoundTripper without a network.
func (s *Server) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	in := req.Clone(req.Context())
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	s.ServeHTTP(w, in)
	out := w.Result()
	out.Request = req
	return out, nil
}

// maxRequest bounds a request, in bytes.
const maxRequest = 8 << 20

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxRequest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	action, reply := s.serve(req, body)
	s.calls[action]++
	code := "done"
	if e, ok := reply.(apiError); ok {
		code = e.code
	}
	s.log = append(s.log, action+" "+code)
	s.serial++
	id := fmt.Sprintf("request-%d", s.serial)
	s.mu.Unlock()
	var out bytes.Buffer
	status := write(&out, reply, id)
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", id)
	w.WriteHeader(status)
	w.Write(out.Bytes()) //nolint:errcheck // the client is gone
}

// request is one request on its way through the rules.
type request struct {
	*http.Request
	body   []byte
	action string
	zone   string // hosted zone id, or change id
}

// serve returns the action, and its reply or an apiError.
func (s *Server) serve(req *http.Request, body []byte) (action string, reply any) {
	r := &request{Request: req, body: body}
	service := "route53"
	r.action, r.zone = route(req)
	if r.action == "" {
		service, r.action = "sts", stsAction(body)
	}
	if list := s.faults[r.action]; len(list) > 0 {
		s.faults[r.action] = list[1:]
		return r.action, apiError{list[0].status, list[0].code, []string{list[0].message}, false}
	}
	if err := s.signed(r, service); err != nil {
		return r.action, *err
	}
	if service == "sts" {
		return r.action, s.sts(r)
	}
	if err := s.throttled(r.action); err != nil {
		return r.action, *err
	}
	return r.action, s.route53(r)
}

// route tells the action from method and path.
func route(req *http.Request) (action, id string) {
	path, ok := strings.CutPrefix(req.URL.Path, "/2013-04-01/")
	if !ok {
		return "", ""
	}
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	switch {
	case len(parts) == 3 && parts[0] == "hostedzone" && parts[2] == "rrset" && req.Method == http.MethodPost:
		return "ChangeResourceRecordSets", parts[1]
	case len(parts) == 3 && parts[0] == "hostedzone" && parts[2] == "rrset" && req.Method == http.MethodGet:
		return "ListResourceRecordSets", parts[1]
	case len(parts) == 2 && parts[0] == "hostedzone" && req.Method == http.MethodGet:
		return "GetHostedZone", parts[1]
	case len(parts) == 1 && parts[0] == "hostedzonesbyname" && req.Method == http.MethodGet:
		return "ListHostedZonesByName", ""
	case len(parts) == 2 && parts[0] == "change" && req.Method == http.MethodGet:
		return "GetChange", parts[1]
	}
	return "unknown", ""
}

func (s *Server) route53(r *request) any {
	switch r.action {
	case "ChangeResourceRecordSets", "ListResourceRecordSets", "GetHostedZone":
		z, ok := s.zones[r.zone]
		if err := s.authorized(r); err != nil {
			return *err
		}
		if !ok && s.on(NoSuchZone) {
			return fail(http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: "+r.zone)
		}
		if !ok {
			z = newZone(Zone{ID: r.zone, Name: "invalid"})
		}
		switch r.action {
		case "ChangeResourceRecordSets":
			return s.change(z, r)
		case "ListResourceRecordSets":
			return s.list(z, r)
		}
		return s.getZone(z)
	case "ListHostedZonesByName":
		if err := s.authorized(r); err != nil {
			return *err
		}
		return s.zonesByName(r)
	case "GetChange":
		if err := s.authorized(r); err != nil {
			return *err
		}
		return s.getChange(r.zone)
	}
	return fail(http.StatusBadRequest, "InvalidAction", "The action or operation requested is invalid.")
}
