package cloudflaretest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// window is what the limit of requests counts over, and how long a client that
// exceeds it is kept out
// (https://developers.cloudflare.com/fundamentals/api/reference/limits/).
const window = 5 * time.Minute

// failure is a reply that refuses.
type failure struct {
	status, code int
	text         string
	chain        []failure
	after        time.Duration
}

func fail(status, code int, format string, args ...any) *failure {
	return &failure{status: status, code: code, text: fmt.Sprintf(format, args...)}
}

// invalid is how the API wraps what is wrong with a record
// (https://github.com/timothymiller/cloudflare-ddns/issues/179).
func invalid(code int, format string, args ...any) *failure {
	return &failure{status: http.StatusBadRequest, code: 1004, text: "DNS Validation Error", chain: []failure{*fail(0, code, format, args...)}}
}

func (f failure) json() map[string]any {
	out := map[string]any{"code": f.code, "message": f.text}
	if len(f.chain) > 0 {
		var chain []any
		for _, c := range f.chain {
			chain = append(chain, c.json())
		}
		out["error_chain"] = chain
	}
	return out
}

// info is the result_info of a listing.
type info struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	Count      int `json:"count"`
	TotalCount int `json:"total_count"`
	TotalPages int `json:"total_pages"`
}

// envelope is what every reply is in.
type envelope struct {
	Result   any   `json:"result"`
	Success  bool  `json:"success"`
	Errors   []any `json:"errors"`
	Messages []any `json:"messages"`
	Info     *info `json:"result_info,omitempty"`
}

func (s *Server) serve(r *http.Request, body []byte) (status int, header map[string]string, reply []byte) {
	env, bad := s.route(r, body)
	status = http.StatusOK
	if bad != nil {
		env, status = envelope{Errors: []any{bad.json()}}, bad.status
		if bad.after > 0 { // in seconds, rounded up
			header = map[string]string{"Retry-After": strconv.Itoa(int((bad.after + time.Second - 1) / time.Second))}
		}
	}
	env.Success = bad == nil
	if env.Errors == nil {
		env.Errors = []any{}
	}
	env.Messages = []any{}
	reply, err := json.Marshal(env)
	if err != nil {
		return http.StatusInternalServerError, nil, nil
	}
	return status, header, reply
}

// prefix is the path of the API's version.
const prefix = "/client/v4"

func (s *Server) route(r *http.Request, body []byte) (envelope, *failure) {
	if bad := s.throttle(); bad != nil {
		s.calls["throttled"]++
		return envelope{}, bad
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, prefix), "/")
	switch {
	case r.Method == http.MethodGet && len(parts) == 2 && parts[1] == "zones":
		return s.listZones(r)
	case r.Method == http.MethodGet && len(parts) == 4 && parts[1] == "zones" && parts[3] == "dns_records":
		return s.in(r, parts[2], DNSRead, func(z *zone) (envelope, *failure) { return s.list(r, z) })
	case r.Method == http.MethodPost && len(parts) == 5 && parts[1] == "zones" && parts[3] == "dns_records" && parts[4] == "batch":
		return s.in(r, parts[2], DNSEdit, func(z *zone) (envelope, *failure) { return s.batch(z, body) })
	}
	return envelope{}, fail(http.StatusBadRequest, 7000, "No route for that URI")
}

func (s *Server) throttle() *failure {
	if !s.on(Throttle) {
		return nil
	}
	now := time.Now()
	s.sent = slices.DeleteFunc(s.sent, func(t time.Time) bool { return now.Sub(t) >= window })
	if len(s.sent) >= s.requests && now.After(s.blocked) {
		s.blocked = now.Add(window)
	}
	if now.Before(s.blocked) {
		return &failure{status: http.StatusTooManyRequests, code: 971, text: "Please wait and consider throttling your request speed", after: s.blocked.Sub(now)}
	}
	s.sent = append(s.sent, now)
	return nil
}

// may refuses a request whose token has not the permission.
func (s *Server) may(r *http.Request, need Permission) *failure {
	if !s.on(Scopes) {
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return fail(http.StatusBadRequest, 6003, "Invalid request headers")
	}
	has, known := s.tokens[token]
	switch {
	case !known:
		return fail(http.StatusUnauthorized, 1000, "Invalid API Token")
	case slices.Contains(has, need), need == DNSRead && slices.Contains(has, DNSEdit):
		return nil
	}
	return fail(http.StatusForbidden, 10000, "Authentication error")
}

func (s *Server) in(r *http.Request, id string, need Permission, do func(*zone) (envelope, *failure)) (envelope, *failure) {
	if bad := s.may(r, need); bad != nil {
		return envelope{}, bad
	}
	for _, z := range s.zones {
		if z.id == id {
			return do(z)
		}
	}
	return envelope{}, fail(http.StatusNotFound, 7003, "Could not route to %s, perhaps your object identifier is invalid?", r.URL.Path)
}

func (s *Server) listZones(r *http.Request) (envelope, *failure) {
	if bad := s.may(r, ZoneRead); bad != nil {
		return envelope{}, bad
	}
	s.calls["zones"]++
	name := strings.ToLower(r.URL.Query().Get("name"))
	result := []any{}
	for i, z := range s.zones {
		if name == "" || z.name == name {
			result = append(result, map[string]any{"id": z.id, "name": z.name, "status": "active", "account": map[string]any{"name": fmt.Sprintf("account %d", i+1)}})
		}
	}
	return envelope{Result: result, Info: &info{Page: 1, PerPage: 50, Count: len(result), TotalCount: len(result), TotalPages: 1}}, nil
}

// maxPerPage and defaultPerPage: see Paging.
const (
	maxPerPage     = 5_000_000
	defaultPerPage = 100
)

func (s *Server) list(r *http.Request, z *zone) (envelope, *failure) {
	q := r.URL.Query()
	number, per := atoi(q.Get("page"), 1), atoi(q.Get("per_page"), defaultPerPage)
	if number < 1 || per < 1 || per > maxPerPage {
		return envelope{}, fail(http.StatusBadRequest, 9100, "invalid paging")
	}
	records := slices.Clone(z.records)
	if name, typ := q.Get("name.exact"), q.Get("type"); s.on(Filters) && (name != "" || typ != "") {
		s.calls["find"]++
		records = slices.DeleteFunc(records, func(r *Record) bool {
			return name != "" && r.Name != strings.ToLower(name) || typ != "" && r.Type != typ
		})
	} else {
		s.calls["list"]++
	}
	if q.Get("order") == "name" {
		slices.SortStableFunc(records, func(a, b *Record) int { return strings.Compare(a.Name, b.Name) })
	}
	total := len(records)
	if !s.on(Paging) {
		per = max(total, 1)
	}
	records = records[min((number-1)*per, total):min(number*per, total)]
	return envelope{Result: records, Info: &info{Page: number, PerPage: per, Count: len(records), TotalCount: total, TotalPages: (total + per - 1) / per}}, nil
}

func atoi(text string, byDefault int) int {
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}
