package cloudflaretest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/providertest"
)

// Config returns a config for one zone of a Server, with Token in a file.
func Config(t testing.TB, zone, zoneID string) cloudflare.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return cloudflare.Config{TokenFile: file, Plan: "pro", Zones: []cloudflare.Zone{{Name: strings.TrimSuffix(zone, "."), ID: zoneID}}}
}

// Provider makes an owner's client of the server.
func Provider(t testing.TB, c cloudflare.Config, owner string, transport http.RoundTripper) *cloudflare.Provider {
	t.Helper()
	p, err := cloudflare.New(c, cloudflare.Options{Owner: owner, Log: zerolog.New(zerolog.NewTestWriter(t)), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// World is an empty zone behind an emulated API, and owners' clients of it.
type World struct {
	Zone, ZoneID string
	Server       *Server
	// Config is that of each client.
	Config cloudflare.Config
}

// NewWorld makes one, of the plan pro, whose batches hold few records.
func NewWorld(t testing.TB, zone string) *World {
	t.Helper()
	s := New()
	id := s.AddZone(zone, "pro")
	w := &World{Zone: providers.CanonicalName(zone), ZoneID: id, Server: s, Config: Config(t, zone, id)}
	w.Config.Batch, w.Config.PageSize = 12, page
	return w
}

// page is how many records a client of a World lists at once.
const page = 7

// Provider makes an owner's client, whose requests c carries; nil carries them
// at once.
func (w *World) Provider(t testing.TB, owner string, c providertest.Carrier) *cloudflare.Provider {
	t.Helper()
	transport := http.RoundTripper(w.Server)
	if c != nil {
		transport = providertest.Transport(c, w.Server, IsWrite)
	}
	return Provider(t, w.Config, owner, transport)
}

// Contract is what providertest.Run needs.
func (w *World) Contract(t testing.TB, owner string) providertest.World {
	t.Helper()
	wire := providertest.NewWire(w.Server, IsWrite)
	client := func(owner string) providers.Provider { return Provider(t, w.Config, owner, wire) }
	return providertest.World{
		Zone: w.Zone, Owner: owner, Provider: client(owner), Other: client, Line: wire.Line, Plain: true, Page: page,
		Throttle: func() {
			wire.Answer(http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}, `{"success":false,"errors":[{"code":971,"message":"Please wait and consider throttling your request speed"}],"messages":[],"result":null}`)
		},
		Put:    func(owner string, set providers.RRSet) error { return w.Server.Put(w.ZoneID, owner, set) },
		Remove: func(key providers.Key) error { return w.Server.Delete(w.ZoneID, key.Name, key.Type) },
		All:    func() ([]providers.RRSet, error) { return w.Server.Sets(w.ZoneID, providers.Steered), nil },
		Types: func() ([]providers.RRSet, error) {
			other := w.Server.Sets(w.ZoneID, func(typ string) bool { return !providers.Steered(typ) })
			return slices.DeleteFunc(other, func(s providers.RRSet) bool { return strings.HasPrefix(s.Name, "_veer") }), nil
		},
		Attribute: func(key providers.Key) (string, error) {
			var out []string
			for _, r := range w.Server.All(w.ZoneID) {
				if r.Name == host(key.Name) && r.Type == key.Type && r.Comment != nil {
					out = append(out, fmt.Sprintf("%s, tags %v, proxied %v, settings %v", *r.Comment, r.Tags, r.Proxied, r.Settings))
				}
			}
			return strings.Join(out, "; "), nil
		},
		SetAttribute: func(key providers.Key) error {
			return w.Server.Edit(w.ZoneID, func(records []*Record) []*Record {
				for _, r := range records {
					if r.Name == host(key.Name) && r.Type == key.Type {
						comment := "ask the web team"
						r.Comment, r.Tags, r.Settings = &comment, []string{"team:web"}, map[string]any{"ipv4_only": true}
					}
				}
				return records
			})
		},
	}
}
