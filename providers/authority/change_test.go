package authority

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

// zonesAnd is the config of the bench, with more zones.
func (b *reloadBench) zonesAnd(more ...string) Config {
	c := Config{Listen: []string{"127.0.0.1:0"}}
	for _, name := range append([]string{"example.test", "example.net"}, more...) {
		c.Zones = append(c.Zones, Zone{Name: name, File: b.file(name)})
	}
	return c
}

// change prepares and takes another config.
func (b *reloadBench) change(t *testing.T, c Config, o Options) *Change {
	t.Helper()
	ch, err := b.Prepare(c, o)
	if err != nil {
		t.Fatal(err)
	}
	ch.Take()
	return ch
}

func TestChangeOfZones(t *testing.T) {
	b := newReloadBench(t, Options{})
	b.Update([]steering.Shard{shard(t, 3, 1, 1, "app.sub.example.test. A 30 min=5 left=1h 192.0.2.9", "other.example.test. A 30 min=5 left=1h 192.0.2.8")})
	stop, _ := b.askers(t)
	b.write(t, "sub.example.test", smallHead+"www A 192.0.2.77\n")
	serial := serialOf(t, b.Server)
	ch := b.change(t, b.zonesAnd("sub.example.test"), Options{})
	if fmt.Sprint(ch.Zones) != "map[sub.example.test.:added]" {
		t.Errorf("the zones are %v", ch.Zones)
	}
	for name, want := range map[string]string{
		"www.sub.example.test.": "192.0.2.77", "app.sub.example.test.": "192.0.2.9", // the service is the new zone's now
		"other.example.test.": "192.0.2.8",
	} {
		if got := lookup(t, b.Server, name, dns.TypeA); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant %s", name, got, want)
		}
	}
	if got := lookup(t, b.Server, "nix.sub.example.test.", dns.TypeA); !strings.Contains(got, "SOA ns.sub.example.test.") {
		t.Errorf("the authority of the new zone:\n%s", got)
	}
	if serialOf(t, b.Server) != serial {
		t.Errorf("serial %d after %d of a zone that did not change", serialOf(t, b.Server), serial)
	}
	b.write(t, "sub.example.test", smallHead+"www A 192.0.2.78\n")
	if ch = b.change(t, b.zonesAnd("sub.example.test"), Options{}); fmt.Sprint(ch.Zones) != "map[sub.example.test.:changed]" {
		t.Errorf("the zones are %v", ch.Zones)
	}
	if got := lookup(t, b.Server, "www.sub.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.78") {
		t.Errorf("after another file:\n%s", got)
	}
	if ch = b.change(t, b.zonesAnd(), Options{}); fmt.Sprint(ch.Zones) != "map[sub.example.test.:removed]" {
		t.Errorf("the zones are %v", ch.Zones)
	}
	if got := lookup(t, b.Server, "www.sub.example.test.", dns.TypeA); !strings.Contains(got, "NXDOMAIN") {
		t.Errorf("of a zone that is gone:\n%s", got)
	}
	if got := lookup(t, b.Server, "app.sub.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.9") {
		t.Errorf("the service has no place in the zone above:\n%s", got)
	}
	if answers, faults := stop(); len(faults) > 0 || answers == 0 {
		t.Errorf("%d answers; %v", answers, faults)
	}
}

// The time left of an answer runs on through a change that is not about it.
func TestChangeKeepsTheTimeLeft(t *testing.T) {
	b := newReloadBench(t, Options{})
	b.Update([]steering.Shard{shard(t, 3, 1, 1, "app.example.test. A 300 min=5 left=1h 192.0.2.9")})
	b.write(t, "example.test", smallHead+"www A 192.0.2.5\n")
	b.change(t, b.zonesAnd(), Options{})
	if got := lookup(t, b.Server, "app.example.test.", dns.TypeA); !strings.Contains(got, "app.example.test. 300 IN A") {
		t.Errorf("the answer is\n%s", got)
	}
}

// What a config makes of services: answers of the start, locations, HTTPS
// records, names of what is counted.
func TestChangeOfServices(t *testing.T) {
	b := newReloadBench(t, Options{})
	near := map[string][]Location{"app.example.test.": {{Name: "near", Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}}
	sh := shard(t, 3, 1, 1, "app.example.test. A 30 192.0.2.9", "app.example.test. A 30 192.0.2.10")
	sh.Answers[0].Location, sh.Answers[1].Location = steering.DefaultLocation, "near"
	b.Update([]steering.Shard{sh})
	start := shard(t, 5, 1, 1, "new.example.test. A 30 192.0.2.11").Answers
	b.change(t, b.zonesAnd(), Options{Start: start, Locations: near, Region: func(string, []string) string { return "eu" }})
	if got := lookup(t, b.Server, "new.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.11") {
		t.Errorf("a new service answers\n%s", got)
	}
	if location, _, ok := b.Locate("app.example.test.", netip.MustParseAddr("127.0.0.1")); !ok || location != "near" {
		t.Errorf("the client is in %q, %v", location, ok)
	}
	if r := exchange(t, b.Addrs()[0], "app.example.test.", dns.TypeA); !strings.Contains(show(r), "192.0.2.10") {
		t.Errorf("the client that is near gets\n%s", show(r))
	}
	if _, answers := b.Counts(); len(answers) == 0 || answers[len(answers)-1].Answer != "eu" {
		t.Errorf("it is counted as %v", answers)
	}
	b.change(t, b.zonesAnd(), Options{})
	if r := exchange(t, b.Addrs()[0], "app.example.test.", dns.TypeA); !strings.Contains(show(r), "192.0.2.9") {
		t.Errorf("without locations the client gets\n%s", show(r))
	}
}

func TestChangeOfWhoMayAsk(t *testing.T) {
	b := newReloadBench(t, Options{})
	c := b.zonesAnd()
	c.Allow = []string{"192.0.2.0/24"}
	c.Zones[1].Allow = []string{"127.0.0.0/8"}
	b.change(t, c, Options{})
	for i, want := range []int{dns.RcodeRefused, dns.RcodeSuccess} {
		for _, addr := range b.Addrs()[:2] {
			if r := exchange(t, addr, "www."+c.Zones[i].Name+".", dns.TypeA); r.Rcode != want {
				t.Errorf("%s over %s: %s", c.Zones[i].Name, addr.Network(), dns.RcodeToString[r.Rcode])
			}
		}
	}
	b.change(t, b.zonesAnd(), Options{})
	if r := exchange(t, b.Addrs()[0], "www.example.test.", dns.TypeA); r.Rcode != dns.RcodeSuccess {
		t.Errorf("it is refused still: %s", show(r))
	}
}

// What is bad is refused with the whole, and what was prepared and not taken
// has no effect.
func TestChangeIsRefused(t *testing.T) {
	b := newReloadBench(t, Options{})
	b.Update([]steering.Shard{shard(t, 3, 1, 1, "app.example.test. A 30 192.0.2.9")})
	table := b.Table()
	for name, c := range map[string]struct {
		test string
		edit func(*Config)
		want string
	}{
		"a bad record":       {smallHead + "www A\n", func(*Config) {}, "example.test.zone:5:"},
		"no room":            {smallHead + "app CNAME www\n", func(*Config) {}, "app.example.test."},
		"no file":            {smallHead, func(c *Config) { c.Zones[1].File = "nowhere.zone" }, "nowhere.zone"},
		"twice":              {smallHead, func(c *Config) { c.Zones = append(c.Zones, c.Zones[0]) }, "listed twice"},
		"another address":    {smallHead, func(c *Config) { c.Listen = []string{"127.0.0.2:0"} }, "listen cannot change"},
		"another rate limit": {smallHead, func(c *Config) { c.RateLimit.ResponsesPerSecond = 7 }, "rate_limit cannot change"},
	} {
		b.write(t, "example.test", c.test)
		is := b.zonesAnd()
		c.edit(&is)
		if _, err := b.Prepare(is, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	b.write(t, "example.test", smallHead+"www A 192.0.2.50\n")
	if _, err := b.Prepare(b.zonesAnd(), Options{}); err != nil {
		t.Error(err)
	}
	if b.Table() != table {
		t.Error("the table is another one, and nothing was taken")
	}
}

// Secrets of cookies and the certificate are those of the files as they are, and
// the files may be others.
func TestChangeOfSecrets(t *testing.T) {
	c, pool := secureConfig(t)
	secret := filepath.Join(t.TempDir(), "cookies")
	write(t, secret, strings.Repeat("01", 16))
	c.Cookies.SecretFile = secret
	s := newServer(t, c, Options{})
	s.certificate.every = time.Hour
	runServer(t, s)
	first, err := dialTLS(t, s, dot(pool))
	if err != nil || !served(t, first) {
		t.Fatal(err)
	}
	was := (*s.cookies.keys.Load())[0]
	write(t, secret, "bad")
	if _, err := s.Prepare(c, Options{}); err == nil || strings.Contains(err.Error(), "bad") {
		t.Errorf("bad secrets: %v", err)
	}
	write(t, secret, strings.Repeat("02", 16))
	folder := t.TempDir()
	next := writePair(t, folder, 7, time.Now().Add(90*24*time.Hour))
	c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	ch, err := s.Prepare(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if (*s.cookies.keys.Load())[0] != was {
		t.Error("Prepare takes secrets")
	}
	ch.Take()
	if (*s.cookies.keys.Load())[0] == was {
		t.Error("the secrets are those of before")
	}
	conn, err := dialTLS(t, s, dot(next))
	if err != nil || conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64() != 7 {
		t.Errorf("a new client is not shown the new certificate: %v", err)
	}
	if !served(t, first) {
		t.Error("the session of before was lost")
	}
	if err := os.Remove(c.TLS.KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(c, Options{}); err == nil {
		t.Error("a certificate without a key was taken")
	}
}

// Every key is either taken over or Fixed.
func TestFixed(t *testing.T) {
	var taken []string
	for i, c := 0, reflect.TypeFor[Config](); i < c.NumField(); i++ {
		var is Config
		v := reflect.ValueOf(&is).Elem().Field(i)
		fill(v)
		if len(is.Fixed(Config{})) == 0 {
			taken = append(taken, c.Field(i).Tag.Get("yaml"))
		}
	}
	if fmt.Sprint(taken) != "[zones allow]" {
		t.Errorf("%v are no Fixed keys", taken)
	}
	if f := (Config{TLS: TLS{CertFile: "a"}}).Fixed(Config{}); f != nil {
		t.Errorf("the files of tls are Fixed: %v", f)
	}
}

// fill makes a value another than zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(1)
	}
}

// Hundreds of changes, good and bad: no query is lost, and each answer is that
// of a version.
func TestChangeLosesNoQuery(t *testing.T) {
	b := newReloadBench(t, Options{})
	stop, _ := b.askers(t)
	b.write(t, "more.test", smallHead)
	for i := range 200 {
		text := smallHead + fmt.Sprintf("www A 192.0.2.%d\nother A 192.0.2.%[1]d\n", 2+i)
		c := b.zonesAnd([]string{"more.test"}[:i%2]...)
		if i%4 == 3 {
			b.write(t, "example.test", text+"bad A\n")
			if _, err := b.Prepare(c, Options{}); err == nil {
				t.Fatal("a bad zone was taken")
			}
			continue
		}
		b.write(t, "example.test", text)
		b.change(t, c, Options{Start: shard(t, 5, 1, 1, fmt.Sprintf("s%d.example.test. A 30 192.0.2.11", i)).Answers})
	}
	answers, faults := stop()
	if len(faults) > 0 || answers == 0 {
		t.Errorf("%d answers; %v", answers, faults)
	}
}
