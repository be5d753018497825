package authority

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// lookups is what hosts lead to in the time of a bubble.
type lookups struct {
	mu    sync.Mutex
	v4    map[string][]string // "" is NXDOMAIN
	ttl   uint32
	err   error
	delay time.Duration
	looks map[string][]time.Time // of A, by host
	most  int                    // looks at once
	now   int
	via   []string
}

func newLookups(v4 map[string][]string) *lookups {
	return &lookups{v4: v4, ttl: 60, looks: map[string][]time.Time{}}
}

func (w *lookups) look(ctx context.Context, host string, typ uint16) (found, error) {
	w.mu.Lock()
	if typ == dns.TypeA {
		w.looks[host] = append(w.looks[host], time.Now())
		w.now++
		w.most = max(w.most, w.now)
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.now--
		}()
	}
	delay := w.delay
	w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return found{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f := found{ttl: w.ttl, passed: append([]string{host}, w.via...)}
	switch has := w.v4[host]; {
	case w.err != nil:
		return found{}, w.err
	case len(has) == 0:
		f.none = "NXDOMAIN"
	case typ == dns.TypeA:
		f.addrs = addrs(has...)
	default:
		f.none = "no AAAA records"
	}
	return f, nil
}

func (w *lookups) be(change func(*lookups)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

func aliasConfig(resolver string) Config {
	c := exampleConfig()
	c.Alias.Resolver = []string{resolver}
	return c
}

// flatServer is a server whose hosts are looked up in the lookups Its background
// work runs until stop.
func flatServer(t *testing.T, w *lookups, dir string, log *bytes.Buffer, hosts []string, lines ...string) (s *Server, stop func()) {
	t.Helper()
	c, o := aliasConfig("192.0.2.53:53"), Options{DataDir: dir, Start: mustAnswers(t, lines...), Hosts: hosts}
	if log != nil {
		o.Log = zerolog.New(zerolog.SyncWriter(log))
	}
	s = newServer(t, c, o)
	s.aliases.look = w.look
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.aliases.run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	return s, stop
}

// answered is a name's TTL and addresses, or what it fails with.
func answered(t *testing.T, s *Server, name string) string {
	t.Helper()
	m, ede := askTable(t, s.Table(), name, dns.TypeA, 0)
	if m.Rcode != dns.RcodeSuccess {
		return strings.TrimSpace(dns.RcodeToString[m.Rcode] + " " + ede)
	}
	var data []string
	for _, rr := range m.Answer {
		data = append(data, rdata(rr))
	}
	if len(data) == 0 {
		return "NODATA"
	}
	return strings.TrimSpace(fmt.Sprint(m.Answer[0].Header().Ttl, " ", strings.Join(data, " "), " ", ede))
}

const failsYet = "SERVFAIL 14 the addresses are not known yet"

// TestAliasLife: a host from its first look-up through changes and failures to
// its way back.
func TestAliasLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newLookups(map[string][]string{"lb.test.": {"192.0.2.1"}}), new(bytes.Buffer)
		w.delay = 100 * time.Millisecond
		s, stop := flatServer(t, w, t.TempDir(), log, nil, "example.test. ALIAS 300 lb.test.")
		defer stop()
		step := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := answered(t, s, "example.test."); got != want && (want[0] != '*' || !strings.HasSuffix(got, want[1:])) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		step(0, failsYet)
		step(200*time.Millisecond, "60 192.0.2.1")
		step(50*time.Second, "10 192.0.2.1") // it runs out as what the resolver gave does
		w.be(func(w *lookups) { w.v4["lb.test."] = []string{"192.0.2.2", "192.0.2.3"} })
		step(7*time.Second, "5 192.0.2.1")            // not below min_ttl
		step(10*time.Second, "* 192.0.2.2 192.0.2.3") // when exactly it was asked is random
		// NXDOMAIN takes nothing away. It is asked again soon, at first each second,
		// and when the TTL is over the answer says that it is old.
		w.be(func(w *lookups) { w.v4["lb.test."] = nil })
		step(64*time.Second, "30 192.0.2.2 192.0.2.3 3 the addresses could not be looked up again")
		if a := s.Aliases()[0]; !a.Stale || a.Failed == 0 || !strings.Contains(a.Problem, "there is no address (NXDOMAIN)") || !slices.Equal(a.V4, []string{"192.0.2.2", "192.0.2.3"}) {
			t.Errorf("%+v", a)
		}
		w.be(func(w *lookups) { w.err = errors.New("SERVFAIL") })
		step(24*time.Hour, "30 192.0.2.2 192.0.2.3 3 the addresses could not be looked up again")
		w.be(func(w *lookups) { w.err, w.v4["lb.test."] = nil, []string{"192.0.2.9"} })
		time.Sleep(36 * time.Second)
		synctest.Wait()
		if got := answered(t, s, "example.test."); !strings.HasSuffix(got, " 192.0.2.9") {
			t.Errorf("%q", got)
		}
		if a := s.Aliases()[0]; a.Stale || a.Failed != 0 || a.Problem != "" || !slices.Equal(a.Services, []string{"example.test."}) {
			t.Errorf("%+v", a)
		}
		stop()
		for _, want := range []string{`"host":"lb.test.","was":[],"is":["192.0.2.1"]`, "a host can't be looked up; its last good addresses are served on", "out of date and can't be looked up", "a host can be looked up again", `"is":["192.0.2.9"]`} {
			if n := strings.Count(log.String(), want); n != 1 {
				t.Errorf("%d times %q in the log, want once:\n%s", n, want, log)
			}
		}
	})
}

// TestAliasSchedule: hosts are looked up when their TTL ends, within bounds,
// spread, few at once, and never by a query.
func TestAliasSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLookups(map[string][]string{})
		var hosts []string
		for i := range 200 {
			host := fmt.Sprintf("h%03d.test.", i)
			hosts, w.v4[host] = append(hosts, host), []string{"192.0.2.1"}
		}
		w.ttl, w.delay = 20, 10*time.Millisecond
		s, stop := flatServer(t, w, t.TempDir(), nil, hosts, "app.example.test. ALIAS 300 h000.test.")
		defer stop()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for range 1000 {
			answered(t, s, "app.example.test.")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.most > mostLooking || w.most < mostLooking/2 {
			t.Errorf("%d looks at once, want at most %d, and at first about that", w.most, mostLooking)
		}
		for _, host := range hosts {
			looks := w.looks[host]
			if len(looks) < 26 || len(looks) > 31 {
				t.Fatalf("%s: %d looks in 10 minutes of TTL 20", host, len(looks))
			}
			for i := 1; i < len(looks); i++ {
				if d := looks[i].Sub(looks[i-1]); d < 20*time.Second || d > 23*time.Second {
					t.Fatalf("%s: looked up after %s of TTL 20", host, d)
				}
			}
		}
		// They began together and are apart by now.
		var last []time.Time
		for _, looks := range w.looks {
			last = append(last, looks[len(looks)-1].Truncate(time.Second))
		}
		slices.SortFunc(last, time.Time.Compare)
		if n := len(slices.Compact(last)); n < 10 {
			t.Errorf("the last looks of 200 hosts are in %d different seconds", n)
		}
	})
}

// TestAliasFailures: one that fails is asked again at 1, 2, 4, ... and 30 s.
func TestAliasFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLookups(nil)
		w.err = errors.New("SERVFAIL")
		_, stop := flatServer(t, w, t.TempDir(), nil, []string{"lb.test."})
		defer stop()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		looks := w.looks["lb.test."]
		for i := 1; i < len(looks); i++ {
			want := min(time.Second<<(i-1), 30*time.Second)
			if d := looks[i].Sub(looks[i-1]); d < want || d > want+want/10+time.Second {
				t.Errorf("look %d: after %s, want %s", i, d, want)
			}
		}
		if len(looks) < 20 {
			t.Errorf("%d looks in 10 minutes", len(looks))
		}
	})
}

// TestAliasRestart: the last good addresses are served before anything is up,
// as old, and a file that is damaged is put aside.
func TestAliasRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := newLookups(map[string][]string{"lb.test.": {"192.0.2.1"}, "next.test.": {"192.0.2.2"}})
		lines := []string{"app.example.test. ALIAS 300 lb.test."}
		_, stop := flatServer(t, w, dir, nil, []string{"next.test."}, lines...)
		time.Sleep(time.Second)
		synctest.Wait()
		// Killed, not stopped: what was learned is on the disk by now.
		again := newServer(t, aliasConfig("192.0.2.53:53"), Options{DataDir: dir, Start: mustAnswers(t, lines...), Hosts: []string{"next.test."}})
		if got, want := answered(t, again, "app.example.test."), "30 192.0.2.1 3 the addresses could not be looked up again"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if all := again.Aliases(); len(all) != 2 || !all[1].Known() || len(all[1].Services) != 0 {
			t.Errorf("%+v", all)
		}
		stop()
		// A host that nothing leads to is forgotten.
		if all := newServer(t, aliasConfig("192.0.2.53:53"), Options{DataDir: dir}).Aliases(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
		path := filepath.Join(dir, aliasFile.name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(content, ' '), 0o600); err != nil {
			t.Fatal(err)
		}
		log := new(bytes.Buffer)
		damaged, stop := flatServer(t, w, dir, log, nil, lines...)
		defer stop()
		if got := answered(t, damaged, "app.example.test."); got != failsYet {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := answered(t, damaged, "app.example.test."); got != "60 192.0.2.1" {
			t.Errorf("%q", got)
		}
		stop()
		if !strings.Contains(log.String(), "authority.aliases.bad") {
			t.Errorf("log %s", log)
		}
	})
}

// TestAliasMoves: an answer that moves to another host has its addresses at
// once where the config has the host, and as soon as they are looked up where
// the ledger alone has it. What comes of an overlay is flattened as well.
func TestAliasMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLookups(map[string][]string{"a.test.": {"192.0.2.1"}, "b.test.": {"192.0.2.2"}, "c.test.": {"192.0.2.3"}})
		s, stop := flatServer(t, w, t.TempDir(), nil, []string{"a.test.", "b.test."}, "app.example.test. ALIAS 300 a.test.")
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		serial := serialOf(t, s)
		s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. ALIAS 300 b.test.")})
		if got := answered(t, s, "app.example.test."); got != "60 192.0.2.2" {
			t.Errorf("%q", got)
		}
		after := serialOf(t, s)
		s.Update([]steering.Shard{shard(t, 1, 1, 2, "app.example.test. ALIAS 300 c.test.")})
		if got := answered(t, s, "app.example.test."); got != failsYet {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := answered(t, s, "app.example.test."); got != "60 192.0.2.3" {
			t.Errorf("%q", got)
		}
		if serial == after || serialOf(t, s) == after {
			t.Error("the serial did not follow the ledger")
		}
		was := serialOf(t, s)
		w.be(func(w *lookups) { w.v4["c.test."] = []string{"192.0.2.4"} })
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if got := answered(t, s, "app.example.test."); !strings.HasSuffix(got, " 192.0.2.4") || serialOf(t, s) != was {
			t.Errorf("%q, serial %d after %d: what this server alone looked up moves no serial", got, serialOf(t, s), was)
		}
		s.Lay(func(ledger []steering.Answer) []steering.Answer {
			out := slices.Clone(ledger)
			for i := range out {
				out[i].Data = []string{"a.test."}
			}
			return out
		})
		if got := answered(t, s, "app.example.test."); !strings.HasSuffix(got, " 192.0.2.1") {
			t.Errorf("%q under an overlay", got)
		}
		s.Update([]steering.Shard{shard(t, 1, 1, 3, "app.example.test. ALIAS 300 b.test.")})
		for _, a := range s.Aliases() {
			if a.Host == "c.test." {
				t.Errorf("%+v: nothing leads there any more", a)
			}
		}
	})
}

// TestAliasCircle: a host that leads back to the name that is answered with its
// addresses is this server's own echo.
func TestAliasCircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLookups(map[string][]string{"lb.test.": {"192.0.2.1"}})
		w.via = []string{"app.example.test."}
		s, stop := flatServer(t, w, t.TempDir(), nil, nil, "app.example.test. ALIAS 300 lb.test.")
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if got, why := answered(t, s, "app.example.test."), s.Aliases()[0].Problem; got != failsYet || !strings.Contains(why, "lead back to app.example.test.") {
			t.Errorf("%q, %q", got, why)
		}
	})
}

// TestAliasHTTPS: the hints are the hosts' addresses, and follow them.
func TestAliasHTTPS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLookups(map[string][]string{"lb.test.": {"192.0.2.1"}})
		s := newServer(t, aliasConfig("192.0.2.53:53"), Options{Start: mustAnswers(t, "app.example.test. ALIAS 300 lb.test."), HTTPS: map[string]HTTPS{"app.example.test.": {ALPN: []string{"h2"}}}})
		s.aliases.look = w.look
		hints := func() string {
			m, _ := askTable(t, s.Table(), "app.example.test.", dns.TypeHTTPS, 0)
			if len(m.Answer) != 1 {
				t.Fatalf("%v", m)
			}
			return rdata(m.Answer[0])
		}
		if got := hints(); got != `1 . alpn="h2"` {
			t.Errorf("%q before the first look", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.aliases.run(ctx)
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := hints(); got != `1 . alpn="h2" ipv4hint="192.0.2.1"` {
			t.Errorf("%q", got)
		}
		cancel()
		<-done
	})
}

// TestAliasServed: over the network, from a resolver of the test's own, with
// the addresses on the fast path.
func TestAliasServed(t *testing.T) {
	y := startToy(t, "lb.test. 300 CNAME x.test.", "x.test. 60 A 192.0.2.1", "x.test. 60 AAAA 2001:db8::1")
	y.behave(dns.RcodeServerFailure, nil)
	s := newServer(t, aliasConfig(y.addr), Options{Start: mustAnswers(t, "example.test. ALIAS 300 lb.test.")})
	swapped, use := make(chan struct{}, 100), s.aliases.use
	s.aliases.use = func(fresh map[string]*flat) {
		use(fresh)
		swapped <- struct{}{}
	}
	runServer(t, s)
	<-swapped // the first look-up failed
	for _, a := range s.Addrs() {
		if r := exchange(t, a, "example.test.", dns.TypeA); r.Rcode != dns.RcodeServerFailure {
			t.Errorf("%v", r)
		}
	}
	y.behave(0, nil)
	<-swapped
	fast, general := s.Answered()
	for _, a := range s.Addrs() {
		for typ, want := range map[uint16]string{dns.TypeA: "192.0.2.1", dns.TypeAAAA: "2001:db8::1"} {
			r := exchange(t, a, "example.test.", typ)
			if len(r.Answer) != 1 || rdata(r.Answer[0]) != want || r.Answer[0].Header().Ttl > 60 || r.Answer[0].Header().Ttl < 50 {
				t.Errorf("%s: %v", a.Network(), r)
			}
		}
	}
	fastNow, generalNow := s.Answered()
	if fastNow != fast+2 || generalNow != general {
		t.Errorf("%d fast and %d general answers over UDP of 2 queries", fastNow-fast, generalNow-general)
	}
}

// FuzzAliasFile: what is read as a file of last good addresses is written back
// the same, and a server can start with it.
func FuzzAliasFile(f *testing.F) {
	for _, body := range []string{
		`{"targets":[{"host":"lb.test.","v4":["192.0.2.1"],"v6":[],"resolved":"2026-01-01T00:00:00Z"}]}`,
		`{"targets":[{"host":"lb.test.","v4":null,"v6":["2001:db8::1"],"resolved":"2026-01-01T00:00:00Z"}]}`,
		`{"targets":null}`, `{"targets":[{"host":"LB.test","v4":["0.0.0.0"]}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := decodeTargets(aliasFile.seal(body))
		if err != nil {
			if !errors.Is(err, errCorrupt) {
				t.Fatalf("error %v", err)
			}
			return
		}
		targets := s.targets()
		content, err := aliasFile.encode(saveTargets(targets))
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeTargets(content)
		if err != nil || len(again.Targets) != len(s.Targets) {
			t.Fatalf("%v: read again as %v, %v", s, again, err)
		}
		for _, one := range s.Targets {
			if one.Host != providers.CanonicalName(one.Host) || len(targets[one.Host].addresses()) == 0 {
				t.Fatalf("%+v", one)
			}
		}
	})
}
