package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// filled is a cluster that holds what recorded makes, and some of what no backup
// has.
func filled(t *testing.T) *alone {
	c := startAlone(t, Options{})
	for key, raw := range recorded(t) {
		c.put(string(c.keys)+key, string(raw))
	}
	return c
}

func (a *alone) backup() Backup {
	a.t.Helper()
	b, err := a.Backup(a.ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func file(t testing.TB, b Backup) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := b.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sameBackup(t *testing.T, what string, a, b Backup) {
	t.Helper()
	a.Made, b.Made, a.Agreed, b.Agreed = time.Time{}, time.Time{}, false, false
	if d := cmp.Diff(string(file(t, a)), string(file(t, b))); d != "" {
		t.Errorf("%s:\n%s", what, d)
	}
}

// TestBackupHasTheLedger: what it has, that its file reads as the same, and that
// the folder of the stopped member has the same.
func TestBackupHasTheLedger(t *testing.T) {
	c := filled(t)
	for i := range 100 { // several pages, and several versions of one key
		raw, _ := pack(Note{Act: fmt.Sprint(i)})
		c.put(c.keys.note(fmt.Sprintf("1%03d", i)), string(raw))
		c.put(c.keys.note("0"), string(raw))
	}
	if _, err := c.etcd.Delete(c.ctx, c.keys.note("1050")); err != nil {
		t.Fatal(err)
	}
	b := c.backup()
	shards, orders, decisions, notes := b.Counts()
	if b.Owner != "o" || b.Term != 7 || !b.Agreed || shards != 2 || orders != 1 || decisions != 3 || notes != 101 || b.LeftOut+len(b.Unread) > 0 {
		t.Errorf("owner %s, term %d, agreed %v, %d shards, %d orders, %d decisions, %d notes, %d left out, unread %v", b.Owner, b.Term, b.Agreed, shards, orders, decisions, notes, b.LeftOut, b.Unread)
	}
	read, err := ReadBackup(bytes.NewReader(file(t, b)))
	if err != nil {
		t.Fatal(err)
	}
	sameBackup(t, "written and read", b, read)

	if _, err := BackupFolder(c.ctx, Config{}, "o", c.dir); err == nil || !strings.Contains(err.Error(), "in use by another veer") {
		t.Errorf("the folder of a member that runs: %v", err)
	}
	c.stop()
	before, err := os.ReadFile(filepath.Join(c.dir, "etcd", "member", "snap", "db"))
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := BackupFolder(c.ctx, Config{}, "o", c.dir)
	if err != nil {
		t.Fatal(err)
	}
	sameBackup(t, "of the folder", b, stopped)
	if after, err := os.ReadFile(filepath.Join(c.dir, "etcd", "member", "snap", "db")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the folder was changed (%v)", err)
	}
	if other, err := BackupFolder(c.ctx, Config{}, "other", c.dir); err != nil || len(other.kept) > 0 {
		t.Errorf("of another owner: %+v, %v", other, err)
	}
}

// TestUnreadableValuesAreNamed and keep nothing else out of the backup.
func TestUnreadableValuesAreNamed(t *testing.T) {
	c := filled(t)
	c.put(c.keys.shard(9), "no shard")
	b := c.backup()
	if shards, _, _, _ := b.Counts(); shards != 2 || len(b.Unread) != 1 || !strings.HasPrefix(b.Unread[0], "/veer/o/shard/009: ") {
		t.Errorf("%d shards, unread %v", shards, b.Unread)
	}
}

// TestCorruptFolders: whatever is in the database's file, reading it ends in an
// error or a backup, never in a crash.
func TestCorruptFolders(t *testing.T) {
	c := filled(t)
	c.stop()
	path := filepath.Join(c.dir, "etcd", "member", "snap", "db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	random := rand.New(rand.NewPCG(1, 1))
	for try := range 60 {
		bad := bytes.Clone(whole)
		switch try % 3 {
		case 0: // cut
			bad = bad[:random.IntN(len(bad))]
		case 1: // a page of noise among the first
			at := random.IntN(min(len(bad), 16<<12)) &^ 4095
			for i := range bad[at:min(at+4096, len(bad))] {
				bad[at+i] = byte(random.Uint32())
			}
		case 2: // bytes
			for range 50 {
				bad[random.IntN(min(len(bad), 16<<12))] = byte(random.Uint32())
			}
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := BackupFolder(c.ctx, Config{}, "o", c.dir)
		if err != nil {
			refused++
			continue
		}
		if _, err := ReadBackup(bytes.NewReader(file(t, b))); err != nil {
			t.Errorf("try %d: a backup that cannot be read: %v", try, err)
		}
	}
	if refused < 5 { // most of a new database's file is empty, and may be anything
		t.Errorf("of 60 corrupt databases %d were refused", refused)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := BackupFolder(c.ctx, Config{}, "o", c.dir); err != nil {
		t.Errorf("a whole one, after them: %v", err)
	}
}

// sealed is a file of these lines with the checksum that fits.
func sealed(lines string) []byte {
	sum := sha256.Sum256([]byte(lines))
	end, _ := json.Marshal(trailer{hex.EncodeToString(sum[:])})
	return append(append([]byte(lines), end...), '\n')
}

func someBackup(t testing.TB) Backup {
	raw, err := pack(Note{Act: "x"})
	if err != nil {
		t.Fatal(err)
	}
	b := Backup{Owner: "o", Term: 7, Made: time.Unix(0, 0).UTC()}
	for _, id := range []string{"1", "2"} {
		b.kept = append(b.kept, kept{"note/" + id, raw})
	}
	s, err := pack(shard{Shard: someShard(), Holder: "h", Commit: 4})
	if err != nil {
		t.Fatal(err)
	}
	b.kept = append(b.kept, kept{"shard/003", s})
	return b
}

// TestHostileBackups: each is refused, with what is wrong.
func TestHostileBackups(t *testing.T) {
	whole := file(t, someBackup(t))
	for i := range whole { // whatever byte is another
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := ReadBackup(bytes.NewReader(bad)); err == nil {
			t.Errorf("a file with another byte %d was read", i)
		}
		if _, err := ReadBackup(bytes.NewReader(whole[:i])); err == nil {
			t.Errorf("the first %d bytes were read", i)
		}
	}
	const head = `{"veer_backup":1,"owner":"o","term":7,"made":"1970-01-01T00:00:00Z","version":"","agreed":true,"values":1}` + "\n"
	for name, c := range map[string]struct{ lines, says string }{
		"another format":    {strings.Replace(head, `p":1`, `p":2`, 1), "its format is 2, this version reads 1"},
		"no owner":          {strings.Replace(head, `"o"`, `""`, 1), `owner ""`},
		"a term too high":   {strings.Replace(head, `:7`, `:9223372036854775807`, 1), "expected at most 4611686018427387903"},
		"too many values":   {strings.Replace(head, `values":1`, `values":99999999`, 1), "99999999 values: expected from 0 to"},
		"unknown fields":    {strings.Replace(head, `"owner"`, `"x":1,"owner"`, 1), `line 1: json: unknown field "x"`},
		"two values a line": {head + `{"key":"note/1","value":"e30="}{}` + "\n", "line 2: it goes on after its value"},
		"another's key":     {head + `{"key":"leader/1","value":"e30="}` + "\n", `line 2: key "leader/1": not a shard, an order, a decision or a note`},
		"a way out":         {head + `{"key":"../x/term","value":"e30="}` + "\n", "not a shard"},
		"a shard elsewhere": {head + `{"key":"shard/3","value":"e30="}` + "\n", "expected /veer/o/shard/000 to"},
		"a bad shard":       {head + `{"key":"shard/003","value":"e30="}` + "\n", `key "shard/003": term 0, seq 0: expected both above 0`},
		"another's order":   {head + `{"key":"world/order/1","value":"eyJpZCI6IjIiLCJhY3QiOiJkcmFpbiJ9"}` + "\n", `found order "2"`},
		"a vote":            {head + `{"key":"world/ballot/eu/head","value":"e30="}` + "\n", "not a shard"},
		"a bad decision":    {head + `{"key":"journal/1/1/1-1","value":"e30="}` + "\n", "expected journal/TERM/NUMBER/SHARD-SIZE"},
		"values missing":    {head, `line 2: json: unknown field "sha256"`},
		"a line too long":   {strings.Repeat(" ", maxHeader+1), "line 1: it is longer than 1048576 bytes"},
		"keys twice":        {strings.Replace(head, `values":1`, `values":2`, 1) + strings.Repeat(`{"key":"note/1","value":"eyJhY3QiOiJ4In0="}`+"\n", 2), `line 3: key "note/1": expected one after "note/1"`},
	} {
		if _, err := ReadBackup(bytes.NewReader(sealed(c.lines))); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := ReadBackup(bytes.NewReader(append(whole, 'x'))); err == nil || !strings.Contains(err.Error(), "goes on after its end") {
		t.Errorf("more behind it: %v", err)
	}
}

// FuzzBackup gives the checksum that fits to any lines: what is read is written
// as the same.
func FuzzBackup(f *testing.F) {
	whole := string(file(f, someBackup(f)))
	f.Add(whole[:strings.LastIndex(strings.TrimSuffix(whole, "\n"), "\n")+1])
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		b, err := ReadBackup(bytes.NewReader(sealed(lines)))
		if err != nil {
			return
		}
		again, err := ReadBackup(bytes.NewReader(file(t, b)))
		if err != nil {
			t.Fatalf("what was read cannot be: %v", err)
		}
		if a, b := file(t, b), file(t, again); !bytes.Equal(a, b) {
			t.Fatalf("%s was written as %s", a, b)
		}
	})
}

// TestRestoreIntoAnEmptyCluster: the ledger, numbered on, the orders, the
// decisions and the notes are there, and the next term is above the floor.
func TestRestoreIntoAnEmptyCluster(t *testing.T) {
	b := filled(t).backup()
	c := startAlone(t, Options{})
	zone := controller.ZoneID{Provider: "p", Zone: "example.test."}
	term, err := c.Restore(c.ctx, b, Restoring{By: "ann", Why: "lost", Floor: 41, Zones: []controller.ZoneID{zone}})
	if err != nil || term != 41 {
		t.Fatalf("term %d, %v", term, err)
	}
	l, err := c.Campaign(c.ctx, "a")
	if err != nil || l.Term() != 42 {
		t.Fatalf("%v, %v: expected term 42", l, err)
	}
	was := map[int]uint64{}
	for _, v := range b.kept {
		if s, err := unpack[shard](v.Value); err == nil && strings.HasPrefix(v.Key, "shard/") {
			was[s.ID] = s.Seq
		}
	}
	shards, err := c.Shards(c.ctx)
	if err != nil || len(shards) != 2 {
		t.Fatalf("%d shards, %v", len(shards), err)
	}
	for _, s := range shards {
		if s.Seq != was[s.ID]+seqGap || s.Term != 7 {
			t.Errorf("shard %d is of term %d, seq %d: expected term 7 and %d above %d", s.ID, s.Term, s.Seq, seqGap, was[s.ID])
		}
	}
	entries, err := c.Journal(c.ctx, JournalQuery{})
	if err != nil || len(entries) != 3 {
		t.Errorf("%d decisions, %v", len(entries), err)
	}
	notes, err := c.Notes(c.ctx, 0)
	if err != nil || len(notes) != 2 || notes[1].By != "ann" && notes[0].By != "ann" {
		t.Errorf("notes %+v, %v", notes, err)
	}
	view, err := c.Survey(c.ctx)
	if err != nil || len(view.Overrides) != 1 {
		t.Errorf("orders %+v, %v", view.Overrides, err)
	}
	if marked, err := c.Marked(c.ctx); err != nil || len(marked) != 1 || marked[0] != zone {
		t.Errorf("marked zones %v, %v", marked, err)
	}
}

// TestRestoreOverALedger: it is refused without the word, and then deposes the
// leader, replaces the ledger and the orders, a shard that cannot be read among
// them, and keeps the decisions that were made since.
func TestRestoreOverALedger(t *testing.T) {
	c := filled(t)
	b := c.backup()
	first, err := c.Campaign(c.ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	s := shard{Shard: someShard()}.Shard
	s.Term = first.Term()
	if _, err := c.Commit(c.ctx, first, 0, s, &steering.Entry{Term: s.Term, Shard: s.ID, Cause: "since"}); err != nil {
		t.Fatal(err)
	}
	c.put(c.keys.shard(9), "unreadable")
	if _, err := c.Restore(c.ctx, b, Restoring{}); !errors.Is(err, ErrLedgerExists) || !strings.Contains(err.Error(), "1 candidates") {
		t.Fatalf("without the word: %v", err)
	}
	if !first.Sure() {
		t.Fatal("the refusal deposed the leader")
	}
	other := b
	other.Owner = "other"
	if _, err := c.Restore(c.ctx, other, Restoring{Over: true}); !errors.Is(err, ErrOwner) {
		t.Fatalf("another owner's: %v", err)
	}
	term, err := c.Restore(c.ctx, b, Restoring{Over: true, By: "ann"})
	if err != nil || term != first.Term() {
		t.Fatalf("term %d, %v: expected the deposed leader's, %d", term, err, first.Term())
	}
	<-first.Done()
	s.Seq++
	if _, err := c.Commit(c.ctx, first, 0, s, nil); !errors.Is(err, controller.ErrNotLeader) {
		t.Errorf("the deposed leader's commit: %v", err)
	}
	shards, err := c.Shards(c.ctx)
	if err != nil || len(shards) != 2 {
		t.Errorf("%d shards, %v: expected the backup's two", len(shards), err)
	}
	if entries, err := c.Journal(c.ctx, JournalQuery{}); err != nil || len(entries) != 4 {
		t.Errorf("%d decisions, %v: expected the backup's three and the one since", len(entries), err)
	}
	if next, err := c.Campaign(c.ctx, "a"); err != nil || next.Term() != term+1 {
		t.Errorf("%v, %v", next, err)
	}
}

// TestHalfARestoreIsNotLedOn: broken off after any step, nobody leads before a
// restore has ended; without the mark, the planted fault, somebody would.
func TestHalfARestoreIsNotLedOn(t *testing.T) {
	b := filled(t).backup()
	for done := 1; done <= 3; done++ {
		c := startAlone(t, Options{})
		r := restore{c: c.Cluster, b: b, mark: restoring{ID: "half", By: "ann"}}
		for _, step := range []func(context.Context) error{r.begin, r.clear, r.fill}[:done] {
			if err := step(c.ctx); err != nil {
				t.Fatal(err)
			}
		}
		try, cancel := context.WithTimeout(c.ctx, 2*time.Second)
		l, err := c.campaign(try, "a")
		if cancel(); !errors.Is(err, errRetry) {
			t.Fatalf("after %d steps: %v, %v: expected that nobody leads", done, l, err)
		}
		if _, err := c.Backup(c.ctx); !errors.Is(err, errHalf) {
			t.Errorf("after %d steps, a backup: %v", done, err)
		}
		if name, _, err := c.Leader(c.ctx); name != "" || err != nil || !c.HalfRestored(c.ctx) {
			t.Errorf("after %d steps, %q leads (%v), half restored %v", done, name, err, c.HalfRestored(c.ctx))
		}
		mutant := done == 2
		if mutant {
			if _, err := c.etcd.Delete(c.ctx, c.keys.restoring()); err != nil {
				t.Fatal(err)
			}
			if l, err := c.campaign(c.ctx, "a"); err != nil {
				t.Errorf("without the mark: %v, %v: expected that it leads, so that the test means something", l, err)
			}
			continue
		}
		won := make(chan controller.Lead, 1)
		go func() {
			if l, err := c.Campaign(c.ctx, "a"); err == nil {
				won <- l
			}
		}()
		term, err := c.Restore(c.ctx, b, Restoring{By: "bob"}) // the word is not needed again
		if err != nil {
			t.Fatal(err)
		}
		if l := <-won; l.Term() != term+1 || l.Term() < regions.Term(8) {
			t.Errorf("term %d after the restore with %d", l.Term(), term)
		}
		if shards, err := c.Shards(c.ctx); err != nil || len(shards) != 2 {
			t.Errorf("%d shards, %v", len(shards), err)
		}
		if err := r.fill(c.ctx); !errors.Is(err, ErrRestoring) || c.HalfRestored(c.ctx) {
			t.Errorf("the one that was broken off goes on: %v", err)
		}
	}
}
