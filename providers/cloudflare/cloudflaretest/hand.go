package cloudflaretest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
)

// All returns copies of a zone's records, in the order in which they were made.
func (s *Server) All(zoneID string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Record
	for _, z := range s.zones {
		if z.id == zoneID {
			for _, r := range z.records {
				out = append(out, *r)
			}
		}
	}
	return out
}

// Edit changes a zone's records past the API, as somebody at the dashboard
// does. A record without an id gets one.
func (s *Server) Edit(zoneID string, do func([]*Record) []*Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, z := range s.zones {
		if z.id != zoneID {
			continue
		}
		z.records, z.at = do(z.records), nil
		for _, r := range z.records {
			if r.ID == "" {
				r.ID = s.id()
			}
			if r.Tags == nil {
				r.Tags = []string{}
			}
		}
		return nil
	}
	return fmt.Errorf("no zone has the id %s", zoneID)
}

// Put makes a set be as given: its records are edited as far as they go, and
// the others made or deleted. An owner that is not "" becomes the name's.
func (s *Server) Put(zoneID, owner string, set providers.RRSet) error {
	set = set.Canonical()
	return s.Edit(zoneID, func(records []*Record) []*Record {
		records = putData(records, host(set.Name), set.Type, int64(set.TTL), set.Data)
		if owner == "" {
			return records
		}
		return putData(records, host(providers.OwnerName(set.Name)), "TXT", 60, []string{`"` + providers.OwnerText(owner) + `"`})
	})
}

// Delete removes the records of a name and type.
func (s *Server) Delete(zoneID, name, typ string) error {
	return s.Edit(zoneID, func(records []*Record) []*Record { return putData(records, host(name), typ, 0, nil) })
}

// isLatch reports whether the record is the latch of a fence of its name's owner.
func isLatch(r Record) bool {
	rest, ok := strings.CutPrefix(r.Name, "_veer-fence.")
	owner, _, _ := strings.Cut(rest, ".")
	return ok && r.Type == "TXT" && strings.Trim(r.Content, `"`) == providers.FirstFence(owner).String()
}

func host(name string) string { return strings.TrimSuffix(providers.CanonicalName(name), ".") }

func putData(records []*Record, name, typ string, ttl int64, data []string) []*Record {
	var out []*Record
	for _, r := range records {
		if r.Name != name || r.Type != typ {
			out = append(out, r)
			continue
		}
		if len(data) == 0 {
			continue
		}
		edited := *r
		edited.Content, edited.TTL, data = content(typ, data[0]), ttl, data[1:]
		out = append(out, &edited)
	}
	for _, d := range data {
		out = append(out, &Record{Name: name, Type: typ, Content: content(typ, d), TTL: ttl})
	}
	return out
}

func content(typ, data string) string {
	if typ == "CNAME" {
		return strings.TrimSuffix(data, ".")
	}
	return data
}

// Sets returns the zone's sets of some types, whoever's, sorted, without the
// latches that stand beside fences.
func (s *Server) Sets(zoneID string, of func(typ string) bool) []providers.RRSet {
	byKey := map[providers.Key]*providers.RRSet{}
	for _, r := range s.All(zoneID) {
		if !of(r.Type) || isLatch(r) {
			continue
		}
		set := providers.RRSet{Name: providers.CanonicalName(r.Name), Type: r.Type, TTL: uint32(r.TTL), Data: []string{r.Content}}
		if have := byKey[set.Key()]; have != nil {
			have.Data = append(have.Data, r.Content)
			continue
		}
		byKey[set.Key()] = &set
	}
	var out []providers.RRSet
	for _, set := range byKey {
		out = append(out, set.Canonical())
	}
	slices.SortFunc(out, providers.Compare)
	return out
}
