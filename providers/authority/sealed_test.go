package authority

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions/steering"
)

// seal lets no snapshot be saved in dir, to whomever the folder belongs: a
// folder has the name of what is written first. The returned function mends it.
func seal(t *testing.T, dir string) (mend func()) {
	t.Helper()
	name := filepath.Join(dir, snapshotFile.name+".tmp")
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSealedFolder: a server whose folder takes no writes serves what the
// snapshot holds, and takes over what is newer; a serial that it would have to
// raise by itself stays until it can be kept.
func TestSealedFolder(t *testing.T) {
	dir, zones := t.TempDir(), t.TempDir()
	file := filepath.Join(zones, "zone")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(smallHead)
	c := Config{Listen: []string{"127.0.0.1:0"}, Zones: []Zone{{Name: "example.test", File: file}}}
	log := newHeard()
	o := Options{DataDir: dir, Sealed: true, Log: zerolog.New(log)}
	if _, err := New(c, o); err == nil || !strings.Contains(err.Error(), "there is nothing to serve") {
		t.Fatalf("without a snapshot: %v", err)
	}
	first := newServer(t, c, Options{DataDir: dir})
	stop := runServer(t, first)
	first.Update([]steering.Shard{shard(t, 3, 1, 1, "app.example.test. A 30 192.0.2.1")})
	stop()
	was := serialOf(t, first)
	mend := seal(t, dir)

	// Twice: what was forgotten by the first is not shown anew by the second.
	for i, text := range []string{smallHead + "www A 192.0.2.7\n", smallHead + "www A 192.0.2.8\n"} {
		write(text)
		log.Reset()
		s := newServer(t, c, o)
		stop := runServer(t, s)
		if got := lookup(t, s, "app.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.1") {
			t.Errorf("start %d:\n%s", i, got)
		}
		if is := serialOf(t, s); is != was || !strings.Contains(log.String(), "its serial stays") {
			t.Errorf("start %d: serial %d after %d; %s", i, is, was, log.String())
		}
		s.Update([]steering.Shard{shard(t, 3, 1, 2, "app.example.test. A 30 192.0.2.2")})
		if is := serialOf(t, s); is != was+1 {
			t.Errorf("start %d: a commit brings serial %d after %d", i, is, was)
		}
		write(text + "more A 192.0.2.7\n")
		if changed, err := reload(s); err != nil || len(changed) != 1 {
			t.Fatal(changed, err)
		}
		if is := serialOf(t, s); is != was+1 {
			t.Errorf("start %d: a reload brings serial %d after %d", i, is, was+1)
		}
		if i == 0 {
			stop()
			continue
		}
		mend() // the next reload can keep what it raises
		if _, err := reload(s); err != nil {
			t.Fatal(err)
		}
		if is := serialOf(t, s); is != was+2 {
			t.Errorf("after the folder was mended the serial is %d after %d", is, was+1)
		}
		stop()
	}
	saved, found, _, err := loadSnapshot(dir)
	if err != nil || !found || saved.Shards[0].Seq != 2 || saved.zone("example.test.").Serial != was+2 {
		t.Errorf("the snapshot at the end has %+v, %v", saved, err)
	}
}

// TestARaiseThatCannotBeKeptIsNotShown: a disk that fails when a serial was
// raised, at the start or at a reload.
func TestARaiseThatCannotBeKeptIsNotShown(t *testing.T) {
	dir := t.TempDir()
	b := newReloadBench(t, Options{DataDir: dir})
	was := serialOf(t, b.Server)
	if err := b.saver.flush(); err != nil {
		t.Fatal(err)
	}
	mend := seal(t, dir)
	b.write(t, "example.test", smallHead+"www A 192.0.2.2\n")
	if changed, err := reload(b.Server); err != nil || len(changed) != 1 {
		t.Fatal(changed, err)
	}
	if is := serialOf(t, b.Server); is != was {
		t.Errorf("a reload shows serial %d after %d, and cannot keep it", is, was)
	}
	if got := lookup(t, b.Server, "www.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.2") {
		t.Errorf("the reload is not served:\n%s", got)
	}
	again := newServer(t, b.config, Options{DataDir: dir})
	if is := serialOf(t, again); is != was+1 {
		t.Fatalf("the next start would raise the serial to %d, want %d", is, was+1)
	}
	runServer(t, again)()
	if is := serialOf(t, again); is != was {
		t.Errorf("a start shows serial %d after %d, and cannot keep it", is, was)
	}
	mend()
	again = newServer(t, b.config, Options{DataDir: dir})
	runServer(t, again)()
	if is := serialOf(t, again); is != was+1 {
		t.Errorf("a start that can keep it shows serial %d after %d", is, was)
	}
}
