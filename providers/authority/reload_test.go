package authority

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

// reloadBench is a running server with two zones that a test can edit.
type reloadBench struct {
	*Server
	dir string
}

func newReloadBench(t *testing.T, o Options) *reloadBench {
	t.Helper()
	b := &reloadBench{dir: t.TempDir()}
	b.write(t, "example.test", smallHead+"www A 192.0.2.1\nother A 192.0.2.1\n")
	b.write(t, "example.net", smallHead+"www A 192.0.2.1\n")
	c := Config{Listen: []string{"127.0.0.1:0"}}
	for _, name := range []string{"example.test", "example.net"} {
		c.Zones = append(c.Zones, Zone{Name: name, File: b.file(name)})
	}
	b.Server = startServer(t, c, o)
	return b
}

func (b *reloadBench) file(zone string) string { return filepath.Join(b.dir, zone+".zone") }

func (b *reloadBench) write(t *testing.T, zone, text string) {
	t.Helper()
	if err := os.WriteFile(b.file(zone), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload takes over the files of a server's config as they are now, and returns
// the zones that changed.
func reload(s *Server) ([]string, error) {
	ch, err := s.Prepare(s.given, s.opts)
	if err != nil {
		return nil, err
	}
	ch.Take()
	return slices.Sorted(maps.Keys(ch.Zones)), nil
}

func TestReload(t *testing.T) {
	b := newReloadBench(t, Options{})
	b.Update([]steering.Shard{shard(t, 3, 1, 1, "app.example.test. A 30 192.0.2.9", "taken.example.test. A 30 left=1h min=5 192.0.2.8")})
	was := serialOf(t, b.Server)
	changed, err := reload(b.Server)
	if err != nil || len(changed) != 0 || serialOf(t, b.Server) != was {
		t.Fatalf("nothing changed, and reload returns %v, %v, serial %d after %d", changed, err, serialOf(t, b.Server), was)
	}
	for _, step := range []struct {
		name, test, net string
		changed         string
		refused         []string
		answer          string // to www.example.test
	}{
		{"a change", smallHead + "www A 192.0.2.2\n", "", "[example.test.]", nil, "192.0.2.2"},
		{"a bad record", smallHead + "www A 192.0.2.3\n\nmail MX\n", smallHead + "www A 192.0.2.3\n", "[]", []string{"example.test.zone:7:"}, "192.0.2.2"},
		{"mended", smallHead + "www A 192.0.2.3\n", "", "[example.net. example.test.]", nil, "192.0.2.3"},
		{"a CNAME at a service", smallHead + "www A 192.0.2.4\napp CNAME www\n", "", "[]", []string{"service app.example.test.", "example.test.zone:6"}, "192.0.2.3"},
		{"without the CNAME", smallHead + "www A 192.0.2.4\n", "", "[example.test.]", nil, "192.0.2.4"},
		{"two bad zones", smallHead + "www A\n", smallHead + "x NS ns.x\n", "[]", []string{"example.test.zone:5:", "example.net.zone:5: name server ns.x.example.net."}, "192.0.2.4"},
		{"a lower serial", strings.Replace(smallHead, " 1 2", " 0 2", 1) + "www A 192.0.2.5\n", smallHead + "www A 192.0.2.3\n", "[example.test.]", nil, "192.0.2.5"},
	} {
		b.write(t, "example.test", step.test)
		if step.net != "" {
			b.write(t, "example.net", step.net)
		}
		before := serialOf(t, b.Server)
		changed, err := reload(b.Server)
		if fmt.Sprint(changed) != step.changed || (err != nil) != (step.refused != nil) {
			t.Errorf("%s: changed %v, error %v", step.name, changed, err)
		}
		for _, want := range step.refused {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error is %v, want %q in it", step.name, err, want)
			}
		}
		if got := lookup(t, b.Server, "www.example.test.", dns.TypeA); !strings.Contains(got, step.answer) {
			t.Errorf("%s: got\n%s\nwant %s", step.name, got, step.answer)
		}
		if got := lookup(t, b.Server, "app.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.9") {
			t.Errorf("%s: the service answers\n%s", step.name, got)
		}
		if grew := after(serialOf(t, b.Server), before); grew != strings.Contains(step.changed, "example.test.") {
			t.Errorf("%s: serial %d after %d", step.name, serialOf(t, b.Server), before)
		}
	}
	if got := lookup(t, b.Server, "www.example.net.", dns.TypeA); !strings.Contains(got, "192.0.2.3") {
		t.Errorf("the other zone answers\n%s", got)
	}
}

// TestReloadSerialOutlivesARestart: a serial that a reload raised by itself is
// kept before it is served.
func TestReloadSerialOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	b := newReloadBench(t, Options{DataDir: dir})
	b.write(t, "example.test", smallHead+"www A 192.0.2.2\n")
	if _, err := reload(b.Server); err != nil {
		t.Fatal(err)
	}
	saved, found, _, err := loadSnapshot(dir) // while the server runs
	if err != nil || !found || saved.zone("example.test.").Serial != serialOf(t, b.Server) {
		t.Errorf("the snapshot has %+v, %v, served is serial %d", saved, err, serialOf(t, b.Server))
	}
}

// TestReloadMakesRoomForAService: an answer of the ledger that the old file had
// no place for is served once the new one has.
func TestReloadMakesRoomForAService(t *testing.T) {
	b := newReloadBench(t, Options{})
	b.write(t, "example.test", smallHead+"app CNAME www\n")
	if _, err := reload(b.Server); err != nil {
		t.Fatal(err)
	}
	b.Update([]steering.Shard{shard(t, 3, 1, 1, "app.example.test. A 30 min=5 left=1h 192.0.2.9")})
	if got := lookup(t, b.Server, "app.example.test.", dns.TypeA); !strings.Contains(got, "CNAME") {
		t.Fatalf("beside a CNAME the service answers\n%s", got)
	}
	b.write(t, "example.test", smallHead)
	if _, err := reload(b.Server); err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, b.Server, "app.example.test.", dns.TypeA); !strings.Contains(got, "app.example.test. 5 IN A 192.0.2.9") {
		t.Errorf("without it:\n%s", got)
	}
}

// askers query www and other of example.test over UDP and TCP until stop is
// called, which returns how many answers came and what was wrong with any: a
// query without an answer, or an answer that no version of the zone has. faulty
// is closed with the first fault.
func (b *reloadBench) askers(t *testing.T) (stop func() (answers int64, faults []string), faulty <-chan struct{}) {
	t.Helper()
	var answers atomic.Int64
	var mu sync.Mutex
	var faults []string
	var all sync.WaitGroup
	ended, faulted := make(chan struct{}), make(chan struct{})
	for i := range 6 {
		addr := b.Addrs()[i%2]
		conn, err := dns.DialTimeout(addr.Network(), addr.String(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer conn.Close()
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				default:
				}
				m := new(dns.Msg)
				m.SetQuestion([]string{"www", "other"}[n%2]+".example.test.", dns.TypeA)
				fault := askOnce(conn, m)
				if fault == "" {
					answers.Add(1)
					continue
				}
				mu.Lock()
				if faults = append(faults, addr.Network()+": "+fault); len(faults) == 1 {
					close(faulted)
				}
				mu.Unlock()
				return
			}
		})
	}
	return func() (int64, []string) {
		close(ended)
		all.Wait()
		return answers.Load(), faults
	}, faulted
}

func askOnce(conn *dns.Conn, m *dns.Msg) string {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err.Error()
	}
	if err := conn.WriteMsg(m); err != nil {
		return err.Error()
	}
	r, err := conn.ReadMsg()
	if err != nil {
		return "a query was lost: " + err.Error()
	}
	if r.Id != m.Id || r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
		return "an answer of neither version: " + show(r)
	}
	return ""
}

// TestReloadLosesNoQuery: each query over UDP and TCP gets an answer of one
// version of the zone while it is reloaded again and again.
func TestReloadLosesNoQuery(t *testing.T) {
	b := newReloadBench(t, Options{})
	stop, _ := b.askers(t)
	for i := range 100 {
		want := fmt.Sprintf("192.0.2.%d", 2+i)
		text := smallHead + "www A " + want + "\nother A " + want + "\n"
		if i%5 == 4 {
			b.write(t, "example.test", text+"bad A\n")
			if _, err := reload(b.Server); err == nil {
				t.Fatal("a bad zone was taken")
			}
			continue
		}
		b.write(t, "example.test", text)
		if _, err := reload(b.Server); err != nil {
			t.Fatal(err)
		}
		if r := exchange(t, b.Addrs()[i%2], "www.example.test.", dns.TypeA); !strings.Contains(show(r), want) {
			t.Fatalf("after the reload the answer is\n%s\nwant %s", show(r), want)
		}
	}
	answers, faults := stop()
	if len(faults) > 0 || answers == 0 {
		t.Errorf("%d answers; %v", answers, faults)
	}
	t.Logf("%d queries were answered during 100 reloads", answers)
}

// TestReloadMutant: the askers see a server that empties its table first.
func TestReloadMutant(t *testing.T) {
	b := newReloadBench(t, Options{})
	stop, faulty := b.askers(t)
	table := b.Table()
	b.table.Store(newTable(nil))
	select {
	case <-faulty:
	case <-time.After(time.Minute):
	}
	b.table.Store(table)
	if _, faults := stop(); len(faults) == 0 {
		t.Error("nobody saw that the table was empty")
	}
}

// TestReloadServesWhatWasRefused: an answer that the file left no room for, while
// the name kept what it had, is served as soon as the file is mended, with a
// restart between or without, and nothing older than the newest version is.
func TestReloadServesWhatWasRefused(t *testing.T) {
	const held = "app.example.test. A 30 192.0.2.1"
	for _, c := range []struct {
		name  string
		then  [][]string // versions after the first
		now   string     // what is served beside the file's record
		after string     // and without it
	}{
		{"one", [][]string{{"app.example.test. CNAME 30 b.test."}}, "192.0.2.1", "CNAME b.test."},
		{"with time left", [][]string{{"app.example.test. CNAME 30 min=5 left=1h b.test."}}, "192.0.2.1", "app.example.test. 5 IN CNAME b.test."},
		{"two", [][]string{{"app.example.test. CNAME 30 b.test."}, {"app.example.test. CNAME 30 c.test."}}, "192.0.2.1", "CNAME c.test."},
		{"a good one since", [][]string{{"app.example.test. CNAME 30 b.test."}, {"app.example.test. A 30 192.0.2.2"}}, "192.0.2.2", "192.0.2.2"},
		{"the same as before since", [][]string{{"app.example.test. CNAME 30 b.test."}, {held}}, "192.0.2.1", "192.0.2.1"},
		{"gone since", [][]string{{"app.example.test. CNAME 30 b.test."}, {}}, "TXT", "NXDOMAIN"},
		{"one that never can", [][]string{{"app.example.test. A 30 nowhere"}}, "192.0.2.1", "192.0.2.1"},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", c.name, restart), func(t *testing.T) {
				o := Options{DataDir: t.TempDir()}
				b := &reloadBench{dir: t.TempDir()}
				config := Config{Listen: []string{"127.0.0.1:0"}, Zones: []Zone{{Name: "example.test", File: b.file("example.test")}}}
				b.write(t, "example.test", smallHead+"app TXT x\n")
				b.Server = newServer(t, config, o)
				stop := runServer(t, b.Server)
				b.Update([]steering.Shard{shard(t, 3, 1, 1, held)})
				for i, lines := range c.then {
					b.Update([]steering.Shard{shard(t, 3, 1, uint64(i)+2, lines...)})
				}
				if got := lookup(t, b.Server, "app.example.test.", dns.TypeANY); !strings.Contains(got, c.now) {
					t.Errorf("beside the record:\n%s\nwant %s", got, c.now)
				}
				was := serialOf(t, b.Server)
				if restart {
					stop()
					b.Server = newServer(t, config, o) // the file is as it was: so are the answers
					if got := lookup(t, b.Server, "app.example.test.", dns.TypeANY); !strings.Contains(got, c.now) {
						t.Errorf("after the restart:\n%s\nwant %s", got, c.now)
					}
					runServer(t, b.Server)()
				}
				b.write(t, "example.test", smallHead)
				if restart {
					b.Server = newServer(t, config, o)
				} else if _, err := reload(b.Server); err != nil {
					t.Fatal(err)
				}
				if got := lookup(t, b.Server, "app.example.test.", dns.TypeA); !strings.Contains(got, c.after) {
					t.Errorf("without the record:\n%s\nwant %s", got, c.after)
				}
				if !after(serialOf(t, b.Server), was) {
					t.Errorf("serial %d after %d", serialOf(t, b.Server), was)
				}
				version := uint64(len(c.then)) + 1
				b.Update([]steering.Shard{shard(t, 3, 1, version, "app.example.test. A 30 192.0.2.66")})
				if got := lookup(t, b.Server, "app.example.test.", dns.TypeA); strings.Contains(got, "192.0.2.66") {
					t.Errorf("version %d was taken twice:\n%s", version, got)
				}
				if saved := b.state.snapshot().Shards; len(saved) != 1 || saved[0].Seq != version || strings.Contains(c.after, "CNAME") != (len(saved[0].Answers) == 1 && saved[0].Answers[0].Type == "CNAME") {
					t.Errorf("what is kept is %+v", saved)
				}
			})
		}
	}
}
