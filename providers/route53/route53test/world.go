package route53test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/route53"
)

// ZoneID is the hosted zone of a World.
const ZoneID = "Z0WORLD"

// Writes tells the requests that write.
func Writes(req *http.Request) bool {
	action, _ := route(req)
	return action == "ChangeResourceRecordSets"
}

// CredentialsFile writes the account's long-term credentials, in the shared
// format, and returns the file's path.
func CredentialsFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", AccessKey, SecretKey)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Config is one for the server's zone, with the account's credentials.
func Config(t testing.TB, zone string) route53.Config {
	return route53.Config{
		Zones: []route53.Zone{{Name: zone, ID: ZoneID}}, Region: "us-east-1", CredentialsFile: CredentialsFile(t),
		Endpoint: "http://route53.test", STSEndpoint: "http://sts.test",
	}
}

// Provider makes the owner's provider, whose requests go by the transport.
func Provider(t testing.TB, c route53.Config, owner string, transport http.RoundTripper) *route53.Provider {
	t.Helper()
	p, err := route53.New(c, route53.Options{Owner: owner, Transport: transport, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// World makes a server with an empty zone, and a provider of the owner before
// it, by way of wrap if that is not nil. Its bucket never runs dry.
func World(t testing.TB, owner, zone string, wrap func(http.RoundTripper) http.RoundTripper) (*Server, *route53.Provider) {
	t.Helper()
	server, err := New(Options{Zones: []Zone{{ID: ZoneID, Name: zone}}, Without: []Rule{ThrottleAccount, ThrottleAction}})
	if err != nil {
		t.Fatal(err)
	}
	var transport http.RoundTripper = server
	if wrap != nil {
		transport = wrap(server)
	}
	c := Config(t, zone)
	c.Rate, c.Burst = 10000, 100000
	return server, Provider(t, c, owner, transport)
}

// Contract is the World of the contract suite for a provider of the config that
// reaches the server by a Wire of its own.
func (s *Server) Contract(t testing.TB, c route53.Config, owner string) providertest.World {
	wire := providertest.NewWire(s, Writes)
	zone := providers.CanonicalName(c.Zones[0].Name)
	return providertest.World{
		Zone: zone, Owner: owner, Provider: Provider(t, c, owner, wire), Line: wire.Line,
		Throttle: func() {
			wire.Answer(http.StatusBadRequest, nil, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
		},
		Put:    func(owner string, set providers.RRSet) error { return s.PutRRSet(ZoneID, owner, set) },
		Remove: func(key providers.Key) error { return s.RemoveSet(ZoneID, key) },
		All:    func() ([]providers.RRSet, error) { return s.RRSets(ZoneID, providers.Steered) },
		Types: func() ([]providers.RRSet, error) {
			sets, err := s.RRSets(ZoneID, func(typ string) bool { return !providers.Steered(typ) })
			var out []providers.RRSet
			for _, set := range sets {
				if !providers.Reserved(set.Name) {
					out = append(out, set)
				}
			}
			return out, err
		},
		Attribute: func(key providers.Key) (string, error) { return s.attribute(key) },
		SetAttribute: func(key providers.Key) error {
			return s.edit(key, func(set *Set) { set.HealthCheckID = "abcdef11-2222-3333-4444-555555fedcba" })
		},
		Other: func(owner string) providers.Provider { return Provider(t, c, owner, wire) },
		Page:  300,
	}
}

// PutRRSet writes a set past every fence; the name becomes the owner's, and
// with "" stays whose it is.
func (s *Server) PutRRSet(zoneID, owner string, set providers.RRSet) error {
	ttl, weight := int64(set.TTL), int64(set.Weight)
	out := Set{Name: escaped(providers.CanonicalName(set.Name)), Type: set.Type, SetIdentifier: set.SetID, TTL: &ttl, ResourceRecords: Values(set.Data...)}
	if set.SetID != "" {
		out.Weight = &weight
	} else if err := s.RemoveSet(zoneID, set.Key()); err != nil {
		return err
	}
	if err := s.Put(zoneID, out); err != nil || owner == "" {
		return err
	}
	sixty := int64(60)
	return s.Put(zoneID, Set{
		Name: escaped(providers.OwnerName(set.Name)), Type: "TXT", TTL: &sixty,
		ResourceRecords: Values(`"` + providers.OwnerText(owner) + `"`),
	})
}

// RemoveSet removes a set, all parts of a multivalue answer.
func (s *Server) RemoveSet(zoneID string, key providers.Key) error {
	for _, set := range s.All(zoneID) {
		if set.is(key) {
			if err := s.Delete(zoneID, set.Name, set.Type, set.SetIdentifier); err != nil {
				return err
			}
		}
	}
	return nil
}

// is reports whether the set is, or is a part of, the one that the key names.
func (set Set) is(key providers.Key) bool {
	if set.MultiValueAnswer != nil && *set.MultiValueAnswer {
		set.SetIdentifier = ""
	}
	return set.Name == escaped(providers.CanonicalName(key.Name)) && set.Type == key.Type && set.SetIdentifier == key.SetID
}

// RRSets returns the sets of the zone whose type is wanted, the parts of a
// multivalue answer as one.
func (s *Server) RRSets(zoneID string, want func(typ string) bool) ([]providers.RRSet, error) {
	var out []providers.RRSet
	for _, set := range s.All(zoneID) {
		if !want(set.Type) {
			continue
		}
		if set.TTL == nil {
			return nil, fmt.Errorf("%s %s is an alias", set.Name, set.Type)
		}
		r := providers.RRSet{Name: decimal(set.Name), Type: set.Type, SetID: set.SetIdentifier, TTL: uint32(*set.TTL)}
		if set.Weight != nil {
			r.Weight = uint32(*set.Weight)
		}
		for _, v := range set.ResourceRecords {
			r.Data = append(r.Data, v.Value)
		}
		if set.MultiValueAnswer != nil && *set.MultiValueAnswer {
			r.SetID = ""
			if n := len(out); n > 0 && out[n-1].Key() == r.Key() {
				out[n-1].Data = append(out[n-1].Data, r.Data...)
				continue
			}
		}
		out = append(out, r.Canonical())
	}
	return out, nil
}

func (s *Server) attribute(key providers.Key) (string, error) {
	for _, set := range s.All(ZoneID) {
		if set.is(key) {
			return set.HealthCheckID, nil
		}
	}
	return "", fmt.Errorf("no set %v", key)
}

func (s *Server) edit(key providers.Key, change func(*Set)) error {
	found := false
	for _, set := range s.All(ZoneID) {
		if set.is(key) {
			found = true
			change(&set)
			if err := s.Put(ZoneID, set); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("no set %v", key)
	}
	return nil
}

// escaped writes a canonical name as the API does, and decimal the other way.
func escaped(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '\\' {
			if c = name[i+1]; '0' <= c && c <= '9' {
				c = (name[i+1]-'0')*100 + (name[i+2]-'0')*10 + name[i+3] - '0'
				i += 2
			}
			i++
		} else if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

func decimal(name string) string {
	parts, err := labels(name)
	if err != nil {
		return name
	}
	var b strings.Builder
	for _, label := range parts {
		for i := range len(label) {
			fmt.Fprintf(&b, `\%03d`, label[i])
		}
		b.WriteByte('.')
	}
	return providers.CanonicalName(b.String())
}
