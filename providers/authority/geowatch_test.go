package authority

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/providers/authority/mmdbtest"
)

// heard is a log that a test waits for.
type heard struct {
	mu    sync.Mutex
	text  strings.Builder
	again chan struct{}
}

func newHeard() *heard { return &heard{again: make(chan struct{}, 1)} }

func (h *heard) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case h.again <- struct{}{}:
	default:
	}
	return h.text.Write(line)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func (h *heard) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Reset()
}

// await returns when the log has the words.
func (h *heard) await(t *testing.T, words string) {
	t.Helper()
	for {
		text := h.String()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-h.again:
		case <-t.Context().Done():
			t.Fatalf("the log does not have %q: %s", words, text)
		}
	}
}

// TestServesBeforeTheDatabaseIsRead: a database that takes its time holds up no
// answer. Until it is read, clients are in the locations of their networks, and
// what the others are answered is said of no other client.
func TestServesBeforeTheDatabaseIsRead(t *testing.T) {
	dir := t.TempDir()
	path, later := filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "later")
	if err := unix.Mkfifo(path, 0o600); err != nil { // whoever reads it waits for who writes it
		t.Fatal(err)
	}
	content := mmdbtest.Write(mmdbtest.Small, world()...)
	if err := os.WriteFile(later, content, 0o600); err != nil {
		t.Fatal(err)
	}
	log := newHeard()
	c := exampleConfig()
	c.GeoFile, c.ECS = path, ECS{Trust: []string{"127.0.0.0/8"}}
	s := newServer(t, c, Options{
		Start: geoAnswers(t), Locations: map[string][]Location{"app.example.test.": geoLocations()}, Log: zerolog.New(log),
	})
	runServer(t, s)
	finish := sync.OnceValue(func() error {
		w, err := os.OpenFile(path, os.O_WRONLY, 0) // the server has it open then
		if err != nil {
			return err
		}
		err = os.Rename(later, path)
		_, wrote := w.Write(content)
		return errors.Join(err, wrote, w.Close())
	})
	t.Cleanup(func() {
		if err := finish(); err != nil {
			t.Error(err)
		}
	})
	ask := func(client []byte, bits byte, want string, scope uint8) {
		t.Helper()
		m := new(dns.Msg)
		m.SetQuestion("app.example.test.", dns.TypeA).SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{raw(append([]byte{0, 1, bits, 0}, client...)...)}
		in, err := dns.Exchange(m, s.Addrs()[0].String())
		if err != nil || len(in.Answer) != 1 {
			t.Fatalf("%v, %v", in, err)
		}
		sub, ok := in.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		if got := in.Answer[0].(*dns.A).A.String(); !ok || got != want || sub.SourceScope != scope {
			t.Errorf("%v/%d is answered %s with %v; expected %s with scope %d", client, bits, got, sub, want, scope)
		}
	}
	ask([]byte{192, 0, 2}, 24, "192.0.2.1", 24)
	ask([]byte{10, 1}, 16, "192.0.2.1", 24)
	if l, bits, ok := s.Locate("app.example.test.", netip.MustParseAddr("198.51.100.65")); l != "office" || bits != 32 || !ok {
		t.Errorf("a client of a configured network is in %s by %d bits", l, bits)
	}
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	log.await(t, "read the database of countries")
	ask([]byte{192, 0, 2}, 24, "192.0.2.2", 24)
	ask([]byte{10, 1}, 16, "192.0.2.2", 16)
}

// TestADatabaseThatIsNotThere is told of, and is no longer waited for.
func TestADatabaseThatIsNotThere(t *testing.T) {
	log := newHeard()
	c := exampleConfig()
	c.GeoFile = filepath.Join(t.TempDir(), "country.mmdb")
	s := newServer(t, c, Options{Start: geoAnswers(t), Locations: map[string][]Location{"app.example.test.": geoLocations()}, Log: zerolog.New(log)})
	client := netip.MustParseAddr("203.0.113.1")
	if l, bits, ok := s.Locate("app.example.test.", client); l != "default" || bits != 32 || !ok {
		t.Errorf("before it is read the client is in %s by %d bits", l, bits)
	}
	runServer(t, s)
	log.await(t, `"level":"error","error":"read the database: `)
	log.await(t, "until it can, clients are located by networks alone")
	if l, bits, ok := s.Locate("app.example.test.", client); l != "default" || bits >= 32 || !ok {
		t.Errorf("after that the client is in %s by %d bits", l, bits)
	}
}

// TestReadingADatabaseEnds with the server.
func TestReadingADatabaseEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := parseGeography(ctx, tangled(), maxNetworks); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the server: %v", err)
	}
	var log strings.Builder
	d := newDatabase(filepath.Join(t.TempDir(), "country.mmdb"), nil, zerolog.New(&log))
	d.watch(ctx)
	if log.Len() > 0 {
		t.Errorf("a reading that was broken off is told as %s", log.String())
	}
}
