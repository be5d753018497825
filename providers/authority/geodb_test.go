package authority

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers/authority/mmdbtest"
	"github.com/veerdns/veer/regions/regionstest"
)

// world is a database that the tests share.
func world() []mmdbtest.Network {
	return mmdbtest.Networks(
		"192.0.2.0/24 FR EU", "192.0.2.128/25 DE EU", "198.51.100.0/24 US NA", "203.0.113.0/24 - AS",
		"2001:db8:1::/48 FR EU", "2001:db8:2::/48 JP AS", "10.0.0.0/8 US NA", "10.1.0.0/16 FR EU")
}

func drawNetworks(t *rapid.T, most int) []mmdbtest.Network {
	codes := []string{"FR EU", "DE EU", "US NA", "JP AS", "- AF", "CA NA"}
	var lines []string
	for range rapid.IntRange(1, most).Draw(t, "networks") {
		lines = append(lines, drawPrefix(t, 1).Masked().String()+" "+rapid.SampledFrom(codes).Draw(t, "code"))
	}
	return mmdbtest.Networks(lines...)
}

// drawPrefix draws a network of a small part of the addresses, so that many of
// them meet.
func drawPrefix(t *rapid.T, least int) netip.Prefix {
	a := drawClient(t)
	if a.Is6() {
		least = max(least, 8) // shorter ones hold ::/96, which is IPv4's
	}
	p, err := a.Prefix(rapid.IntRange(least, a.BitLen()).Draw(t, "bits"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func drawClient(t *rapid.T) netip.Addr {
	last := func() byte { return rapid.SampledFrom([]byte{0, 0, 1, 2, 127, 128, 255}).Draw(t, "byte") }
	if rapid.Bool().Draw(t, "IPv6") {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, last(), last(), 15: last()})
	}
	return netip.AddrFrom4([4]byte{10, last(), last(), last()})
}

// expected is the country of an address by the networks alone.
func expected(networks []mmdbtest.Network, a netip.Addr) country {
	best, out := -1, country{}
	for _, n := range networks {
		if n.Prefix.Contains(a) && n.Prefix.Bits() >= best { // of equal ones the last
			best, out = n.Prefix.Bits(), country{n.Country, n.Continent}
		}
	}
	return out
}

// TestGeographyRoundTrip writes databases and reads them: each address has the
// country of the longest network that holds it, in every record size.
func TestGeographyRoundTrip(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error {
		return roundTrip(rt, func(b []byte) (*geography, error) { return parseGeography(context.Background(), b, maxNetworks) })
	})
}

func roundTrip(t *rapid.T, parse func([]byte) (*geography, error)) error {
	networks := drawNetworks(t, 12)
	content := mmdbtest.Write(rapid.SampledFrom([]int{mmdbtest.Small, mmdbtest.Middle, mmdbtest.Large}).Draw(t, "size"), networks...)
	g, err := parse(content)
	if err != nil {
		return fmt.Errorf("%v is refused: %w", networks, err)
	}
	for range 30 {
		a := drawClient(t)
		if got, want := g.of(a), expected(networks, a); got != want {
			return fmt.Errorf("%s is in %v; expected %v by %v", a, got, want, networks)
		}
	}
	return nil
}

func TestMutantsOfGeography(t *testing.T) {
	regionstest.Caught(t, 1000, "IPv4 is not looked up in its own tree", func(rt *rapid.T) error {
		return roundTrip(rt, func(b []byte) (*geography, error) {
			g, err := parseGeography(context.Background(), b, maxNetworks)
			if err == nil {
				g.v4 = newTrie(0)
			}
			return g, err
		})
	})
}

// tangled is a database all of whose tree's branches share their nodes: it has
// 2^100 paths.
func tangled() []byte {
	out := mmdbtest.Write(mmdbtest.Small, mmdbtest.Networks("::/100 FR EU")...)
	for i := range 99 {
		copy(out[6*i:], []byte{0, 0, byte(i + 1), 0, 0, byte(i + 1)})
	}
	return out
}

func TestParseGeographyRefuses(t *testing.T) {
	good := mmdbtest.Write(mmdbtest.Middle, world()...)
	nothing := mmdbtest.Write(mmdbtest.Small, mmdbtest.Networks("192.0.2.0/24 - -")...)
	// A byte says what kind of number follows, which is of one byte.
	version := bytes.Index(good, []byte("ip_version")) + len("ip_version") + 1
	unversioned := slices.Clone(good)
	unversioned[version] = 0
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"nothing", nil, "invalid MaxMind DB file"},
		{"another file", []byte(strings.Repeat("no database ", 100)), "invalid MaxMind DB file"},
		{"its head", good[:len(good)-60], "error"},
		{"its end", good[len(good)-150:], ""},
		{"no version of IP", unversioned, "the database is of IP version 0; expected 4 or 6"},
		{"no country", nothing, "no record has a country.iso_code"},
		{"a tangled tree", tangled(), "more than 10000 networks"},
	} {
		g, err := parseGeography(context.Background(), c.content, 10_000)
		if err == nil {
			t.Errorf("%s: it has %v", c.name, g.countries)
		} else if !strings.Contains(err.Error(), c.want) && c.want != "error" {
			t.Errorf("%s: %v; expected %q", c.name, err, c.want)
		}
	}
}

// FuzzGeography: whatever the file, it is refused or read, and then every
// address has the country that the library finds for it in the file itself.
func FuzzGeography(f *testing.F) {
	for _, size := range []int{mmdbtest.Small, mmdbtest.Middle, mmdbtest.Large} {
		whole := mmdbtest.Write(size, world()...)
		f.Add(whole)
		f.Add(whole[:len(whole)/2])
		f.Add(whole[40:])
	}
	// IPv4's addresses are those of ::/96, also where the tree ends above it.
	for _, network := range []string{"::/8 FR EU", "::/96 FR EU", "::/97 US NA", "100::/8 FR EU"} {
		f.Add(mmdbtest.Write(mmdbtest.Small, mmdbtest.Networks(network)...))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<16 {
			return
		}
		g, err := parseGeography(context.Background(), content, 2_000)
		if err != nil {
			return
		}
		a := newAtlas(g, []Location{{Name: "europe", Continents: []string{"EU"}}, {Name: "office", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}}})
		for _, text := range []string{"192.0.2.7", "0.0.0.0", "255.255.255.255", "::", "2001:db8:1::1", "ffff::"} {
			addr := netip.MustParseAddr(text)
			location, depth := a.find(addr)
			if !slices.Contains(a.names, location) || depth > addr.BitLen() {
				t.Fatalf("%s is in %q by %d bits", addr, location, depth)
			}
			if text == "192.0.2.7" && location != "office" {
				t.Fatalf("a network of the config is in %s", location)
			}
			// What is in ::/96 is taken for IPv4's: nobody else has such an address.
			if c, err := inFile(content, addr); addr != netip.IPv6Unspecified() && (err != nil || c != g.of(addr)) {
				t.Fatalf("%s is of %v, and in the file of %v (%v)", addr, g.of(addr), c, err)
			}
			if c := g.of(addr); text != "192.0.2.7" && (c.continent == "EU") != (location == "europe") {
				t.Fatalf("%s of %v is in %s", addr, c, location)
			}
		}
	})
}

// inFile looks an address up in a database, which is none that was read whole.
func inFile(content []byte, addr netip.Addr) (country, error) {
	db, err := maxminddb.OpenBytes(content)
	if err != nil {
		return country{}, err
	}
	defer db.Close()
	if addr.Is6() && db.Metadata.IPVersion == 4 {
		return country{}, nil
	}
	found := db.Lookup(addr)
	if err := found.Err(); err != nil || !found.Found() {
		return country{}, err
	}
	return countryOf(found)
}

// TestTheDatabaseIsReadAgain replaces the file, spoils it, and takes it away:
// the last good one is used all the time.
func TestTheDatabaseIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	client := netip.MustParseAddr("192.0.2.1")
	mapping := map[string][]Location{"app.example.test.": {{Name: "europe", Countries: []string{"fr"}}}}
	var log bytes.Buffer
	made := newDatabase(path, mapping, zerolog.New(&log))
	d := &made
	d.first(t.Context())
	where := func() string { l, _ := d.places.of["app.example.test."].Load().find(client); return l }
	stamp := time.Now().Add(-time.Hour)
	put := func(content []byte) {
		t.Helper()
		stamp = stamp.Add(time.Second)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		d.look(t.Context())
	}
	for i, step := range []struct {
		content []byte
		want    string
		says    string
	}{
		{nil, "default", "can't be used"},
		{mmdbtest.Write(mmdbtest.Small, world()...), "europe", "was replaced"},
		{[]byte("half a file"), "europe", "can't be used"},
		{mmdbtest.Write(mmdbtest.Small, mmdbtest.Networks("192.0.2.0/24 US NA")...), "default", "was replaced"},
		{mmdbtest.Write(mmdbtest.Large, world()...), "europe", "was replaced"},
	} {
		put(step.content)
		if got := where(); got != step.want || !strings.Contains(log.String(), step.says) {
			t.Errorf("step %d: the client is in %s, the log says %s; expected %s and %q", i, got, log.String(), step.want, step.says)
		}
		log.Reset()
		if d.look(t.Context()); log.Len() > 0 {
			t.Errorf("step %d: read again without a change: %s", i, log.String())
		}
	}
	// What could not be used is read again after a while, though no time and no
	// size tells of a change: it may be one's right to read it that came.
	good := mmdbtest.Write(mmdbtest.Small, mmdbtest.Networks("192.0.2.0/24 US NA")...)
	put(bytes.Repeat([]byte("x"), len(good)))
	if log.Reset(); os.WriteFile(path, good, 0o600) != nil || os.Chtimes(path, stamp, stamp) != nil {
		t.Fatal("the file can't be written")
	}
	if d.look(t.Context()); log.Len() > 0 || where() != "europe" {
		t.Errorf("read again at once: %s", log.String())
	}
	d.retry = time.Time{}
	if d.look(t.Context()); where() != "default" || !strings.Contains(log.String(), "was replaced") {
		t.Errorf("not read again: the client is in %s: %s", where(), log.String())
	}
	put(mmdbtest.Write(mmdbtest.Large, world()...))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if d.look(t.Context()); where() != "europe" || !strings.Contains(log.String(), "is gone") {
		t.Errorf("the file is gone, and the client is in %s: %s", where(), log.String())
	}
}

// of returns what is known of an address.
func (g *geography) of(addr netip.Addr) country {
	t := g.v6
	if addr = addr.Unmap(); addr.Is4() {
		t = g.v4
	}
	at, _ := t.find(addr)
	return g.countries[at]
}
