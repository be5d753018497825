package route53test

import (
	"fmt"
	"slices"
	"time"
)

// What somebody does at the console, past the rules and the policy.

// Put writes a set.
func (s *Server) Put(zoneID string, set Set) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zones[zoneID]
	if !ok {
		return fmt.Errorf("no hosted zone %s", zoneID)
	}
	name, err := s.normalize(set.Name)
	if err != nil {
		return err
	}
	set.Name = name
	z.put(&set)
	return nil
}

// Delete removes a set.
func (s *Server) Delete(zoneID, name, typ, identifier string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zones[zoneID]
	if !ok {
		return fmt.Errorf("no hosted zone %s", zoneID)
	}
	name, err := s.normalize(name)
	if err != nil {
		return err
	}
	z.drop(name, setKey{typ, identifier})
	return nil
}

// All returns the zone's sets in the order of listings, without the apex's NS
// and SOA.
func (s *Server) All(zoneID string) []Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zones[zoneID]
	if !ok {
		return nil
	}
	var out []Set
	for _, set := range s.ordered(z) {
		if set.Name == z.name && (set.Type == "NS" || set.Type == "SOA") {
			continue
		}
		c := *set
		c.ResourceRecords = slices.Clone(set.ResourceRecords)
		out = append(out, c)
	}
	return out
}

// RemoveZone deletes a hosted zone, and AddZone creates one.
func (s *Server) RemoveZone(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.zones, id)
}

// AddZone creates a hosted zone.
func (s *Server) AddZone(z Zone) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones[z.ID] = newZone(z)
}

// SetProcessing sets how long each change from now on keeps its zone busy.
func (s *Server) SetProcessing(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Processing = d
}

// AddPolicy allows what the policy does besides.
func (s *Server) AddPolicy(text []byte) error {
	p, err := parsePolicy(text)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.policy == nil {
		s.policy = &policy{}
	}
	s.policy.Statement = append(s.policy.Statement, p.Statement...)
	return nil
}
