package rfc2136test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/rfc2136"
)

// Secrets of the keys of a World, in base64.
const (
	secret      = "dmVlcidzIHNlY3JldCBvZiAzMiBieXRlcywgbm8gbGVzcw=="
	adminSecret = "dGhlIGFkbWluJ3Mgc2VjcmV0LCBhbHNvIDMyIGJ5dGVzLi4="
)

// World is a Server with one empty zone, the Wire before it, and somebody at
// its console.
type World struct {
	Zone   string
	Server *Server
	Wire   *Wire
	Admin  Admin
	signed bool
}

// NewWorld makes one, to which c brings the messages. It ends with the test.
// Unsigned it is faster.
func NewWorld(t testing.TB, zone string, signed bool, c providertest.Carrier) *World {
	t.Helper()
	zone = providers.CanonicalName(zone)
	veer := Key{Name: "veer.", Algorithm: "hmac-sha256.", Secret: secret}
	admin := Key{Name: "admin.", Algorithm: "hmac-sha512.", Secret: adminSecret}
	if !signed {
		veer, admin = Key{}, Key{}
	}
	w := &World{Zone: zone, Server: NewServer([]string{zone}), signed: signed}
	if signed {
		w.Server = NewServer([]string{zone}, veer, admin)
	}
	w.Wire = NewWire(c, w.Server.Dial)
	w.Wire.Key = veer
	w.Admin = Admin{Dial: w.Server.Dial, Zone: zone, Key: admin}
	t.Cleanup(func() { w.Wire.Wait(); w.Server.Wait() })
	return w
}

// Config is a config of the world's server.
func (w *World) Config(t testing.TB) rfc2136.Config {
	t.Helper()
	c := rfc2136.Config{Servers: []string{"127.0.0.1:53"}, Zones: []rfc2136.Zone{{Name: w.Zone}}}
	if w.signed {
		c.TSIG = rfc2136.TSIG{Name: "veer.", Algorithm: "hmac-sha256", SecretFile: SecretFile(t, secret)}
	}
	return c
}

// SecretFile puts a secret into a file that ends with the test.
func SecretFile(t testing.TB, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Provider makes an owner's provider behind the Wire.
func (w *World) Provider(t testing.TB, owner string) *rfc2136.Provider {
	t.Helper()
	p, err := rfc2136.New(w.Config(t), rfc2136.Options{Owner: owner, Log: zerolog.Nop(), Dial: w.Wire.Dial})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Contract is what providertest.Run needs, of any server. other makes the
// provider of an owner, to which line brings the messages.
func Contract(owner string, line *providertest.Line, a Admin, other func(owner string) providers.Provider) providertest.World {
	return providertest.World{
		Zone: a.Zone, Owner: owner, Provider: other(owner), Other: other, Line: line,
		Throttle: func() { line.Fail(ErrBusy) },
		Put:      a.Put, Remove: func(key providers.Key) error { return a.Delete(key.Name, key.Type) },
		All: a.All, Types: a.Types,
		Lacks: map[string]string{
			"Attribute": "a record has no more than RFC 1035, section 3.2.1, gives it",
			"Page":      "a transfer is one stream",
		},
	}
}
