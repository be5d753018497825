package authority

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions/steering"
)

// only answers every service with some addresses of its own.
func only(addresses ...string) Overlay {
	return func(ledger []steering.Answer) []steering.Answer {
		out := make([]steering.Answer, 0, len(ledger))
		for _, a := range ledger {
			if a.Name == "app.example.test." {
				a.Data = addresses
			}
			out = append(out, a)
		}
		return out
	}
}

// laysApart checks that what a server answers by itself stays its own: the
// serial and the snapshot are the ledger's.
func laysApart(t *testing.T, lay func(*Server, Overlay)) error {
	t.Helper()
	dir := t.TempDir()
	s := newServer(t, exampleConfig(), Options{DataDir: dir})
	stop := runServer(t, s)
	s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. A 30 192.0.2.1 192.0.2.2", "b.example.test. A 30 192.0.2.5")})
	was := serialOf(t, s)
	lay(s, only("192.0.2.2"))
	if got := lookup(t, s, "app.example.test.", dns.TypeA); strings.Contains(got, "192.0.2.1 ") || strings.Contains(got, "192.0.2.1\n") || !strings.Contains(got, "192.0.2.2") {
		return fmt.Errorf("through the overlay it answers\n%s", got)
	}
	if got := lookup(t, s, "b.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.5") {
		return fmt.Errorf("a name that the overlay leaves alone answers\n%s", got)
	}
	if now := serialOf(t, s); now != was {
		return fmt.Errorf("the serial went from %d to %d: a secondary would transfer what only this server answers", was, now)
	}
	for _, sh := range s.Shards() {
		for _, a := range sh.Answers {
			if a.Name == "app.example.test." && len(a.Data) != 2 {
				return fmt.Errorf("the ledger's shard has become %v", a.Data)
			}
		}
	}
	stop() // which saves the last snapshot
	again := newServer(t, exampleConfig(), Options{DataDir: dir})
	if got := again.Answer("app.example.test."); len(got) != 1 || len(got[0].Data) != 2 {
		return fmt.Errorf("after a restart the snapshot answers %v, want the ledger's", got)
	}
	if got := serialOf(t, again); got != was {
		return fmt.Errorf("after a restart the serial is %d, want %d", got, was)
	}
	return nil
}

func TestAnOverlayStaysApart(t *testing.T) {
	if err := laysApart(t, (*Server).Lay); err != nil {
		t.Error(err)
	}
}

// A twin that takes the overlay for the ledger's next version is caught.
func TestMutantOverlayThatIsSaved(t *testing.T) {
	err := laysApart(t, func(s *Server, over Overlay) {
		for _, sh := range s.Shards() {
			sh.Seq, sh.Answers = sh.Seq+1, over(sh.Answers)
			s.Update([]steering.Shard{sh})
		}
	})
	if err == nil {
		t.Fatal("the check proves nothing: it does not see the planted fault")
	}
	t.Log(err)
}

func TestAnOverlayFollowsTheLedger(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, exampleConfig(), Options{Log: zerolog.New(&log), Start: mustAnswers(t, "app.example.test. A 30 192.0.2.9")})
	check := func(when, want string) {
		t.Helper()
		if got := lookup(t, s, "app.example.test.", dns.TypeA); !strings.Contains(got, want) {
			t.Errorf("%s: it answers\n%swant %s", when, got, want)
		}
		if got := s.Answer("app.example.test."); len(got) != 1 || got[0].Data[0] != want {
			t.Errorf("%s: Answer says %v, want %s", when, got, want)
		}
	}
	last := func(ledger []steering.Answer) []steering.Answer { // the last address of what the ledger says
		out := make([]steering.Answer, 0, len(ledger))
		for _, a := range ledger {
			a.Data = a.Data[len(a.Data)-1:]
			out = append(out, a)
		}
		return out
	}
	s.Lay(last)
	check("on the first start", "192.0.2.9")
	s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. A 30 192.0.2.1 192.0.2.2")})
	check("with the ledger's answer", "192.0.2.2")
	if laid := s.Laid(); len(laid) != 1 || laid[0].Data[0] != "192.0.2.2" {
		t.Errorf("laid %v", laid)
	}
	s.Update([]steering.Shard{shard(t, 1, 1, 2, "app.example.test. A 30 192.0.2.3 192.0.2.4")})
	check("with the next one", "192.0.2.4")
	for _, bad := range []Overlay{
		only(), only("not-an-address"), only("2001:db8::1"),
		func([]steering.Answer) []steering.Answer { return nil },
		func([]steering.Answer) []steering.Answer { return mustAnswers(t, "else.example.test. A 30 192.0.2.66") },
	} {
		s.Lay(bad)
		check("with an overlay that can't be served", "192.0.2.3")
		if got := lookup(t, s, "else.example.test.", dns.TypeA); !strings.HasPrefix(got, "NXDOMAIN") {
			t.Errorf("an overlay made a name: %s", got)
		}
	}
	if !strings.Contains(log.String(), "keeps the ledger's answer") {
		t.Errorf("the log says nothing of it: %s", log.String())
	}
	s.Lay(only("192.0.2.77"))
	check("again", "192.0.2.77")
	s.Lay(nil)
	check("without", "192.0.2.3")
	if len(s.Laid()) != 0 {
		t.Errorf("laid %v", s.Laid())
	}
}

// The snapshot is not written for an overlay: the disk may be the trouble.
func TestAnOverlayWritesNoSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, exampleConfig(), Options{DataDir: dir})
	s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. A 30 192.0.2.1 192.0.2.2")})
	s.saver.flush()
	path := filepath.Join(dir, snapshotFile.name)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.Lay(only("192.0.2.2"))
	s.saver.flush()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a snapshot was written (%v)", err)
	}
}
