package cloudflaretest

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Record is one record as the API lists it.
type Record struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Type           string         `json:"type"`
	Content        string         `json:"content"`
	TTL            int64          `json:"ttl"`
	Proxied        bool           `json:"proxied"`
	Proxiable      bool           `json:"proxiable"`
	PrivateRouting bool           `json:"private_routing,omitempty"`
	Comment        *string        `json:"comment"`
	Tags           []string       `json:"tags"`
	Settings       map[string]any `json:"settings"`
	Meta           map[string]any `json:"meta"`
	CreatedOn      time.Time      `json:"created_on"`
	ModifiedOn     time.Time      `json:"modified_on"`
}

// change is one operation of a batch; what is not set is nil.
type change struct {
	ID             string         `json:"id"`
	Name           *string        `json:"name"`
	Type           *string        `json:"type"`
	Content        *string        `json:"content"`
	TTL            *int64         `json:"ttl"`
	Proxied        *bool          `json:"proxied"`
	PrivateRouting *bool          `json:"private_routing"`
	Comment        *string        `json:"comment"`
	Tags           []string       `json:"tags"`
	Settings       map[string]any `json:"settings"`
}

// batchBody is the body of a batch, and with records the result.
type batchBody[T any] struct {
	Deletes []T `json:"deletes"`
	Patches []T `json:"patches"`
	Puts    []T `json:"puts"`
	Posts   []T `json:"posts"`
}

// planLimit is how many records a batch may change (see Limit).
func planLimit(plan string) int {
	if plan == "free" {
		return 200
	}
	return 3500
}

func (s *Server) batch(z *zone, raw []byte) (envelope, *failure) {
	s.calls["batch"]++
	var b batchBody[change]
	if err := json.Unmarshal(raw, &b); err != nil {
		return envelope{}, fail(http.StatusBadRequest, 9207, "Failed to parse the request body")
	}
	n := len(b.Deletes) + len(b.Patches) + len(b.Puts) + len(b.Posts)
	if s.on(Limit) && n > planLimit(z.plan) {
		return envelope{}, fail(http.StatusBadRequest, 1004, "A batch of %d records; the limit is %d", n, planLimit(z.plan))
	}
	was := z.clone()
	var done batchBody[*Record]
	each := func(changes []change, into *[]*Record, do func(change) (*Record, *failure)) func() *failure {
		return func() *failure {
			for _, c := range changes {
				r, bad := do(c)
				if bad != nil {
					return bad
				}
				*into = append(*into, r)
			}
			return nil
		}
	}
	steps := []func() *failure{
		each(b.Deletes, &done.Deletes, func(c change) (*Record, *failure) { return s.delete(z, c) }),
		each(b.Patches, &done.Patches, func(c change) (*Record, *failure) { return s.edit(z, c, s.on(Keep)) }),
		each(b.Puts, &done.Puts, func(c change) (*Record, *failure) { return s.edit(z, c, false) }),
		each(b.Posts, &done.Posts, func(c change) (*Record, *failure) { return s.create(z, c) }),
	}
	if !s.on(Order) {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if bad := step(); bad != nil {
			if s.on(Transaction) {
				z.records, z.at = was, nil
			}
			return envelope{}, bad
		}
	}
	return envelope{Result: done}, nil
}

// clone copies the records, so that a batch can be undone.
func (z *zone) clone() []*Record {
	out := make([]*Record, len(z.records))
	for i, r := range z.records {
		c := *r
		out[i] = &c
	}
	return out
}

// at says where records stand, by id and by name. It is made anew after what
// moves them.
type at struct {
	id   map[string]int
	name map[string][]int
}

func (z *zone) look() *at {
	if z.at == nil {
		z.at = &at{make(map[string]int, len(z.records)), make(map[string][]int, len(z.records))}
		for i, r := range z.records {
			z.at.add(i, r)
		}
	}
	return z.at
}

func (a *at) add(i int, r *Record) {
	a.id[r.ID], a.name[r.Name] = i, append(a.name[r.Name], i)
}

func (z *zone) index(id string) int {
	if i, ok := z.look().id[id]; ok {
		return i
	}
	return -1
}

func (s *Server) delete(z *zone, c change) (*Record, *failure) {
	i := z.index(c.ID)
	if i < 0 {
		if !s.on(Missing) {
			return &Record{ID: c.ID}, nil
		}
		return nil, fail(http.StatusNotFound, 81044, "Record does not exist.")
	}
	gone := z.records[i]
	z.records, z.at = slices.Delete(z.records, i, i+1), nil
	s.free = append(s.free, gone.ID)
	return gone, nil
}

// edit patches a record, or with keep false overwrites it.
func (s *Server) edit(z *zone, c change, keep bool) (*Record, *failure) {
	i := z.index(c.ID)
	if i < 0 {
		if !s.on(Missing) {
			return &Record{ID: c.ID}, nil
		}
		return nil, fail(http.StatusNotFound, 81044, "Record does not exist.")
	}
	r := *z.records[i]
	if !keep {
		r = Record{ID: r.ID, Name: r.Name, Type: r.Type, Content: r.Content, TTL: r.TTL, CreatedOn: r.CreatedOn}
	}
	if bad := s.put(z, &r, c); bad != nil {
		return nil, bad
	}
	if r.Name != z.records[i].Name {
		z.at = nil
	}
	z.records[i] = &r
	return &r, nil
}

func (s *Server) create(z *zone, c change) (*Record, *failure) {
	if c.Name == nil || c.Type == nil || c.Content == nil {
		return nil, invalid(9000, "name, type and content are required")
	}
	r := &Record{TTL: 1, CreatedOn: time.Now()}
	if bad := s.put(z, r, c); bad != nil {
		return nil, bad
	}
	r.ID = s.id()
	z.look().add(len(z.records), r)
	z.records = append(z.records, r)
	return r, nil
}

// put writes what the change names into the record, and checks the outcome.
func (s *Server) put(z *zone, r *Record, c change) *failure {
	set(&r.Name, c.Name)
	set(&r.Type, c.Type)
	set(&r.Content, c.Content)
	set(&r.TTL, c.TTL)
	set(&r.Proxied, c.Proxied)
	set(&r.PrivateRouting, c.PrivateRouting)
	if c.Comment != nil {
		r.Comment = c.Comment
	}
	if c.Tags != nil {
		r.Tags = c.Tags
	}
	if c.Settings != nil {
		r.Settings = c.Settings
	}
	if r.Tags == nil {
		r.Tags = []string{}
	}
	r.ModifiedOn = time.Now()
	if bad := s.name(z, r); bad != nil {
		return bad
	}
	if bad := s.content(r); bad != nil {
		return bad
	}
	if bad := s.ttl(z, r); bad != nil {
		return bad
	}
	return s.beside(z, r)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *Server) name(z *zone, r *Record) *failure {
	name := strings.TrimSuffix(r.Name, ".")
	if s.on(Fold) {
		name = strings.ToLower(name)
	}
	if name == "@" {
		name = z.name
	}
	if s.on(Append) && !strings.EqualFold(name, z.name) && !strings.HasSuffix(strings.ToLower(name), "."+z.name) {
		name += "." + z.name
	}
	r.Name = name
	if !s.on(Names) {
		return nil
	}
	if name == "" || len(name) > 253 {
		return invalid(9000, "DNS name is invalid.")
	}
	for i, label := range strings.Split(name, ".") {
		other := strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		})
		if label == "" || len(label) > 63 || other && (i > 0 || label != "*") {
			return invalid(9000, "DNS name is invalid.")
		}
	}
	return nil
}

func (s *Server) content(r *Record) *failure {
	switch r.Type {
	case "A", "AAAA":
		a, err := netip.ParseAddr(r.Content)
		wrong := err != nil || a.Zone() != "" || a.Is4() != (r.Type == "A")
		if wrong && s.on(Content) {
			return invalid(9005, "Content for %s record must be a valid address.", r.Type)
		}
		if !wrong && s.on(Canonical) {
			r.Content = a.String()
		}
	case "CNAME":
		r.Content = strings.ToLower(strings.TrimSuffix(r.Content, "."))
		if s.on(Content) && (r.Content == "" || strings.ContainsAny(r.Content, ` "\`)) {
			return invalid(9007, "Content for CNAME record is invalid.")
		}
	case "TXT":
		quotes := strings.Count(strings.ReplaceAll(strings.ReplaceAll(r.Content, `\\`, ""), `\"`, ""), `"`)
		if s.on(Content) && (r.Content == "" || quotes%2 != 0 || len(r.Content) > 4096) {
			return invalid(9009, "Content for TXT record is invalid.")
		}
	}
	return nil
}

func (s *Server) ttl(z *zone, r *Record) *failure {
	r.Proxiable = r.Type == "A" || r.Type == "AAAA" || r.Type == "CNAME"
	if s.on(Proxiable) && r.Proxied && !r.Proxiable {
		return invalid(9041, "This DNS record cannot be proxied.")
	}
	if s.on(Proxied) && r.Proxied {
		r.TTL = 1
	}
	least := int64(60)
	if z.plan == "enterprise" {
		least = 30
	}
	if s.on(TTLs) && r.TTL != 1 && (r.TTL < least || r.TTL > 86400) {
		return invalid(9021, "TTL must be between %d and 86400 seconds, or 1 for Automatic.", least)
	}
	return nil
}

// beside refuses records that exclude each other.
func (s *Server) beside(z *zone, r *Record) *failure {
	for _, i := range z.look().name[r.Name] {
		o := z.records[i]
		if o.ID == r.ID {
			continue
		}
		if s.on(Identical) && o.Type == r.Type && o.Content == r.Content {
			return fail(http.StatusBadRequest, 81058, "An identical record already exists.")
		}
		host := o.Type == "A" || o.Type == "AAAA"
		switch {
		case !s.on(Alone):
		case r.Type == "CNAME" && (host || o.Type == "CNAME"):
			return fail(http.StatusBadRequest, 81053, "An A, AAAA, or CNAME record with that host already exists.")
		case (r.Type == "A" || r.Type == "AAAA") && o.Type == "CNAME":
			return fail(http.StatusBadRequest, 81054, "A CNAME record with that host already exists.")
		}
	}
	return nil
}
