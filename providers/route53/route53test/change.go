package route53test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// zone is a hosted zone's content.
type zone struct {
	Zone
	name string // normalized
	// sets are by name, and then by type and identifier.
	sets   map[string]map[setKey]*Set
	sorted []*Set // nil: to be made
	busy   time.Time
}

type setKey struct{ typ, id string }

func newZone(z Zone) *zone {
	parts, err := labels(z.Name)
	if err != nil {
		parts = []string{"invalid"}
	}
	out := &zone{Zone: z, sets: make(map[string]map[setKey]*Set)}
	for _, l := range parts {
		out.name += l + "."
	}
	ttl := int64(172800)
	out.put(&Set{Name: out.name, Type: "NS", TTL: &ttl, ResourceRecords: Values("ns-1.awsdns-00.com.", "ns-2.awsdns-00.net.")})
	out.put(&Set{Name: out.name, Type: "SOA", TTL: &ttl, ResourceRecords: Values("ns-1.awsdns-00.com. hostmaster." + out.name + " 1 7200 900 1209600 86400")})
	return out
}

func (z *zone) put(set *Set) {
	at := z.sets[set.Name]
	if at == nil {
		at = make(map[setKey]*Set)
		z.sets[set.Name] = at
	}
	at[setKey{set.Type, set.SetIdentifier}] = set
	z.sorted = nil
}

func (z *zone) drop(name string, key setKey) {
	delete(z.sets[name], key)
	if len(z.sets[name]) == 0 {
		delete(z.sets, name)
	}
	z.sorted = nil
}

// change does a ChangeResourceRecordSets.
func (s *Server) change(z *zone, r *request) any {
	var req changeRequest
	if err := xml.Unmarshal(r.body, &req); err != nil {
		return fail(http.StatusBadRequest, "MalformedInput", "Could not parse the request: "+err.Error())
	}
	if len(req.Changes) == 0 {
		return fail(http.StatusBadRequest, "InvalidInput", "The change batch is empty")
	}
	now := time.Now()
	if s.on(PriorRequest) && now.Before(z.busy) {
		return fail(http.StatusBadRequest, "PriorRequestNotComplete", "The request was rejected because Route 53 was still processing a prior request.")
	}
	if err := s.sizes(req.Changes); err != nil {
		return *err
	}
	if err := s.throttledChanges(len(req.Changes)); err != nil {
		return *err
	}
	if messages := s.batch(z, req.Changes); len(messages) > 0 {
		return apiError{http.StatusBadRequest, "InvalidChangeBatch", messages, !s.options.PlainErrors}
	}
	z.busy = now.Add(s.options.Processing)
	id := fmt.Sprintf("C%d", len(s.changes)+1)
	s.changes[id] = now
	return changeReply{Namespace: namespace, ChangeInfo: s.info(id)}
}

func (s *Server) info(id string) changeInfo {
	at := s.changes[id]
	status := "PENDING"
	if !s.on(Pending) || time.Since(at) >= s.options.Propagation {
		status = "INSYNC"
	}
	return changeInfo{ID: "/change/" + id, Status: status, SubmittedAt: at.UTC().Format(time.RFC3339)}
}

func (s *Server) getChange(id string) any {
	if _, ok := s.changes[id]; !ok {
		return fail(http.StatusNotFound, "NoSuchChange", "A change with the specified change ID does not exist.")
	}
	return getChangeReply{Namespace: namespace, ChangeInfo: s.info(id)}
}

// sizes checks the limits of one request.
func (s *Server) sizes(changes []change) *apiError {
	records, characters := 0, 0
	for _, c := range changes {
		times := 1
		if c.Action == "UPSERT" && s.on(UpsertTwice) {
			times = 2
		}
		records += times * max(len(c.Set.ResourceRecords), 1)
		for _, v := range c.Set.ResourceRecords {
			characters += times * len(v.Value)
		}
	}
	switch {
	case s.on(BatchRecords) && records > 1000:
		return failed(http.StatusBadRequest, "InvalidChangeBatch", fmt.Sprintf("Number of records limit of 1000 exceeded: %d", records))
	case s.on(BatchCharacters) && characters > 32000:
		return failed(http.StatusBadRequest, "InvalidChangeBatch", fmt.Sprintf("The combined length of values exceeds 32000: %d", characters))
	}
	return nil
}

// batch makes the changes, or returns what is wrong with them and makes none.
func (s *Server) batch(z *zone, changes []change) (messages []string) {
	before := map[string]map[setKey]*Set{} // of the names that were touched
	deleted := map[string]bool{}
	for _, c := range changes {
		if err := s.one(z, c, before, deleted); err != nil {
			messages = append(messages, err.Error())
		}
	}
	if len(messages) > 0 && s.on(Atomic) {
		for name, sets := range before {
			delete(z.sets, name)
			if len(sets) > 0 {
				z.sets[name] = sets
			}
		}
		z.sorted = nil
	}
	return messages
}

// one makes one change.
func (s *Server) one(z *zone, c change, before map[string]map[setKey]*Set, deleted map[string]bool) error {
	set := c.Set
	name, err := s.normalize(set.Name)
	if err != nil {
		return refuse("FATAL problem: %v", err)
	}
	set.Name = name
	if s.on(OutOfZone) && !within(name, z.name) {
		return refuse("RRSet with DNS name %s is not permitted in zone %s", name, z.name)
	}
	if _, seen := before[name]; !seen {
		before[name] = make(map[setKey]*Set, len(z.sets[name]))
		for k, v := range z.sets[name] {
			before[name][k] = v
		}
	}
	key := setKey{set.Type, set.SetIdentifier}
	now := z.sets[name][key]
	what := fmt.Sprintf("resource record set [name='%s', type='%s'%s]", name, set.Type, identifier(set))
	switch c.Action {
	case "DELETE":
		return s.remove(z, &set, now, what, deleted)
	case "CREATE":
		if now != nil && s.on(CreateOver) {
			return refuse("Tried to create %s but it already exists", what)
		}
	case "UPSERT":
	default:
		return refuse("Invalid action %q", c.Action)
	}
	if err := s.valid(z, &set); err != nil {
		return err
	}
	if err := s.conflict(z, &set); err != nil {
		return err
	}
	z.put(&set)
	return nil
}

func identifier(set Set) string {
	if set.SetIdentifier == "" {
		return ""
	}
	return ", set-identifier='" + set.SetIdentifier + "'"
}

func (s *Server) remove(z *zone, set, now *Set, what string, deleted map[string]bool) error {
	switch {
	case now == nil && deleted[what] && !s.on(DeleteTwice):
		return nil
	case now == nil:
		return refuse("Tried to delete %s but it was not found", what)
	case s.on(ExactDelete) && !equal(set, now):
		return refuse("Tried to delete %s but the values provided do not match the current values", what)
	case s.on(ApexStays) && set.Name == z.name && (set.Type == "NS" || set.Type == "SOA"):
		return refuse("A HostedZone must contain exactly one %s record for the zone itself", set.Type)
	}
	deleted[what] = true
	z.drop(set.Name, setKey{set.Type, set.SetIdentifier})
	return nil
}

// equal compares all of two sets; the order of values has no meaning.
func equal(a, b *Set) bool {
	return slices.Equal(sortedValues(a), sortedValues(b)) && digest(*a) == digest(*b)
}

func sortedValues(set *Set) []string {
	out := make([]string, len(set.ResourceRecords))
	for i, v := range set.ResourceRecords {
		out[i] = v.Value
	}
	slices.Sort(out)
	return out
}

// digest writes all of a set but its values.
func digest(set Set) string {
	set.ResourceRecords = nil
	if set.AliasTarget != nil {
		target := *set.AliasTarget
		if parts, err := labels(target.DNSName); err == nil {
			target.DNSName = fmt.Sprint(parts)
		}
		set.AliasTarget = &target
	}
	text, err := xml.Marshal(set)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// conflict finds what excludes the set at its name.
func (s *Server) conflict(z *zone, set *Set) error {
	for key, other := range z.sets[set.Name] {
		switch {
		case key.typ == set.Type && key.id == set.SetIdentifier:
		case key.typ == set.Type && s.on(RoutingPolicy) && policyOf(other) != policyOf(set):
			return refuse("RRSet with DNS name %s, type %s, SetIdentifier %s cannot be created as a non-%s set exists with the same name and type", set.Name, set.Type, set.SetIdentifier, policyOf(set))
		case key.typ == set.Type && s.on(WeightedTTL) && set.Weight != nil && set.TTL != nil && other.TTL != nil && *set.TTL != *other.TTL:
			return s.uneven(z, set)
		case key.typ != set.Type && s.on(CNAMEBeside) && (key.typ == "CNAME" || set.Type == "CNAME"):
			return refuse("RRSet of type %s with DNS name %s is not permitted because a conflicting RRSet of type %s with the same DNS name already exists in zone %s", set.Type, set.Name, key.typ, z.name)
		}
	}
	return nil
}

func (s *Server) uneven(z *zone, set *Set) error {
	return refuse("RRSet with DNS name %s, type %s, SetIdentifier %s has a TTL that differs from that of the others in zone %s", set.Name, set.Type, set.SetIdentifier, z.name)
}

// policyOf names a set's routing policy.
func policyOf(set *Set) string {
	switch {
	case set.Weight != nil:
		return "weighted"
	case set.MultiValueAnswer != nil && *set.MultiValueAnswer:
		return "multivalue"
	case set.Region != "":
		return "latency"
	case set.Failover != "":
		return "failover"
	case set.GeoLocation != nil:
		return "geolocation"
	case set.GeoProximityLocation != nil:
		return "geoproximity"
	case set.CidrRoutingConfig != nil:
		return "cidr"
	}
	return "simple"
}
