//go:build realservers

package rfc2136_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

const owner = "shop"

// Keys of the real servers. "other" is a key that has rights nowhere, "wrong"
// is veer's name with another secret.
var (
	veerKey  = rfc2136test.Key{Name: "veer.", Algorithm: "hmac-sha384.", Secret: "dmVlcidzIHNlY3JldCBvZiAzMiBieXRlcywgbm8gbGVzcw=="}
	adminKey = rfc2136test.Key{Name: "admin.", Algorithm: "hmac-sha512.", Secret: "dGhlIGFkbWluJ3Mgc2VjcmV0LCBhbHNvIDMyIGJ5dGVzLi4="}
	otherKey = rfc2136test.Key{Name: "other.", Algorithm: "hmac-sha256.", Secret: "c29tZWJvZHkgZWxzZSdzIHNlY3JldCBvZiAzMiBieXRlcw=="}
	wrongKey = rfc2136test.Key{Name: "veer.", Algorithm: "hmac-sha384.", Secret: "bm90IHRoZSBzZWNyZXQgdGhhdCB0aGUgc2VydmVyIGhhcw=="}
)

// primary is a running server, its zones not used yet, and its log.
type primary struct {
	address string
	log     *tail
	free    []zone
	timeout time.Duration // of its clients
	read    string        // how they read
}

// zone is a zone of a real server. A wide one has more names that may be
// written; a signed one has DNSSEC.
type zone struct {
	name         string
	wide, signed bool
}

// zonesFor are the zones of a server: one for each test.
func zonesFor(wide int) []zone {
	var out []zone
	for i := range 60 {
		out = append(out, zone{name: fmt.Sprintf("z%d.test.", i), wide: i < wide})
	}
	return append(out, zone{name: "signed.test.", signed: true})
}

// take gives a test a zone of its own.
func (p *primary) take(t testing.TB, wide bool) string {
	t.Helper()
	return p.takeOf(t, func(z zone) bool { return z.wide == wide && !z.signed })
}

func (p *primary) takeOf(t testing.TB, is func(zone) bool) string {
	t.Helper()
	i := slices.IndexFunc(p.free, is)
	if i < 0 {
		t.Fatal("the server has no zone left: configure more")
	}
	z := p.free[i]
	p.free = slices.Delete(p.free, i, i+1)
	return z.name
}

// steered are the names, below the zone, whose addresses Veer may write.
func (z zone) steered() []string {
	names := []string{"app", "b", "c", "alias", "ghost", "new", "theirs", "*.wild", `a\.b`, "blog", "keep", "low", "high", "beyond",
		"one", "other", "*", "*.below", "aaa", "mmm", "zzz", "race", "cname"}
	if z.wide {
		for i := range 1024 {
			names = append(names, fmt.Sprintf("part%d", i))
		}
	}
	return names
}

// marks are the names, below the zone, of Veer's own TXT records.
func (z zone) marks() []string { return marksOf(z.name, z.steered(), owner, owner+"-two") }

func marksOf(zone string, steered []string, owners ...string) []string {
	var out []string
	for _, name := range steered {
		out = append(out, strings.TrimSuffix(providers.OwnerName(name+"."+zone), "."+zone))
	}
	for _, o := range owners {
		for _, name := range []string{providers.FenceName(o, zone), providers.ScratchName(o, zone), providers.ProofName(o, zone)} {
			out = append(out, strings.TrimSuffix(name, "."+zone))
		}
	}
	return out
}

// master is a zone's master file.
func (z zone) master() string {
	return fmt.Sprintf("$TTL 60\n@ IN SOA ns.invalid. hostmaster.%[1]s 1 60 60 600 5\n@ IN NS ns.invalid.\n", z.name)
}

// tail keeps a server's log.
type tail struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready string
	told  chan struct{}
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.ready
	if l.text.Write(b); was != "" && strings.Contains(l.text.String(), was) {
		l.ready = ""
		close(l.told)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// folder makes a folder with a short name, in which the files are.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// start runs a server until the test ends, and returns when its log has said
// that it is ready.
func start(t *testing.T, ready, name string, args ...string) *tail {
	t.Helper()
	log := &tail{ready: ready, told: make(chan struct{})}
	cmd := exec.Command(name, args...) // #nosec G204 -- the test's own
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v; is its Debian package installed?", name, err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	select {
	case <-log.told:
	case <-ended:
		t.Fatalf("%s ended: %s", name, log)
	}
	return log
}

// freePort is a port that is free over UDP and TCP.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return port
		}
	}
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// dialer is the sockets' own.
func dialer() rfc2136test.DialFunc { return new(net.Dialer).DialContext }

// admin is somebody who may do all in the zone.
func (p *primary) admin(zone string) rfc2136test.Admin {
	return rfc2136test.Admin{Dial: dialer(), Address: p.address, Key: adminKey, Zone: zone}
}

// as makes a client of the zone with a key.
func (p *primary) as(t testing.TB, zone, owner string, k rfc2136test.Key, dial rfc2136test.DialFunc) *rfc2136.Provider {
	t.Helper()
	return p.with(t, zone, k, rfc2136.Options{Owner: owner, Log: zerolog.Nop(), Dial: dial})
}

func (p *primary) with(t testing.TB, zone string, k rfc2136test.Key, o rfc2136.Options) *rfc2136.Provider {
	t.Helper()
	c := rfc2136.Config{Servers: []string{p.address}, Zones: []rfc2136.Zone{{Name: zone}}, Timeout: p.timeout, Read: p.read}
	if k.Name != "" {
		c.TSIG = rfc2136.TSIG{Name: k.Name, Algorithm: strings.TrimSuffix(k.Algorithm, "."), SecretFile: rfc2136test.SecretFile(t, k.Secret)}
	}
	provider, err := rfc2136.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return provider
}
