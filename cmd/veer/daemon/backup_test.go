package daemon_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// fence is the fence of a zone at the first provider.
func (s *stores) fence(t *testing.T) providers.Fence {
	t.Helper()
	have, err := s.one.Read("lab", "example.test")
	if err != nil {
		t.Fatal(err)
	}
	return have.Fence
}

// offline are the options of a command beside no daemon.
func (l *lab) offline() daemon.OnceOptions {
	return daemon.OnceOptions{Config: l.config("eu-west"), ConfigPath: "veer.yaml", Version: "test", Log: zerolog.New(zerolog.NewTestWriter(l.t)), Open: l.open}
}

// TestRestoredLedgerStartsAboveEverything loses the ledger, and in one case the
// authority's snapshot with it, after an old backup: what is restored starts
// above the fences and what was served, and no serial goes back.
func TestRestoredLedgerStartsAboveEverything(t *testing.T) {
	for name, lost := range map[string][]string{
		"the ledger":                  {"etcd", "etcd.id"},
		"the ledger and the snapshot": {"etcd", "etcd.id", "authority"},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := newWrittenLab(t)
			r := l.start("eu-west")
			l.start("us-east", "prober")
			l.watch()
			l.has(s.one, "example.test", "127.0.0.11")
			if _, err := l.client("eu-west").Order(t.Context(), drain("ap-south"), false); err != nil {
				t.Fatal(err)
			}
			file, err := l.client("eu-west").Backup(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			told, err := daemon.ReadBackup(file)
			if err != nil || told.Owner != "lab" || !told.Agreed || told.Orders != 1 || told.Version != "test" {
				t.Fatalf("%+v, %v", told, err)
			}
			for range 2 { // terms and decisions that the backup does not know
				l.halt("us-east")
				l.halt("eu-west")
				r = l.start("eu-west")
				l.start("us-east", "prober")
			}
			l.down("127.0.0.11")
			l.has(s.one, "example.test", "127.0.0.12")
			l.answers("127.0.0.12")
			fence, serial := s.fence(t), l.serial()
			if fence.Term <= uint64(told.Term) {
				t.Fatalf("the fence is %s, and the backup of term %d: it proves nothing", fence, told.Term)
			}
			l.halt("us-east")
			l.halt("eu-west")
			for _, name := range lost {
				if err := os.RemoveAll(filepath.Join(r.dataDir, name)); err != nil {
					t.Fatal(err)
				}
			}
			restored, err := daemon.Restore(t.Context(), l.offline(), file, api.RestoreRequest{By: "ann", Why: "the disk is gone"})
			if err != nil || uint64(restored.Term) < fence.Term || len(restored.Unread) > 0 {
				t.Fatalf("%+v, %v: expected a term of %d at least", restored, err, fence.Term)
			}
			l.start("eu-west")
			l.start("us-east", "prober")
			cl := l.watch()
			l.up("127.0.0.11")
			l.down("127.0.0.12")
			l.has(s.one, "example.test", "127.0.0.11")
			l.answers("127.0.0.11")
			if now := s.fence(t); now.Term <= fence.Term {
				t.Errorf("the fence was %s and is %s", fence, now)
			}
			if _, term, err := cl.Leader(t.Context()); err != nil || uint64(term) <= fence.Term {
				t.Errorf("the leader's term is %d (%v), the fence was of term %d", term, err, fence.Term)
			}
			if now := l.serial(); int32(now-serial) <= 0 { // RFC 1982
				t.Errorf("the serial was %d and is %d", serial, now)
			}
			l.until("the order of the backup", func() bool {
				o := cl.View().Overrides
				return len(o) == 1 && o[0].Act == steering.Drain
			})
		})
	}
}

// TestRestoreThroughADaemon: a daemon that leads is deposed only when it is
// told to, and files that are not this owner's, or not whole, are refused.
func TestRestoreThroughADaemon(t *testing.T) {
	l, s := newWrittenLab(t)
	l.start("eu-west")
	l.start("us-east", "prober")
	cl := l.watch()
	l.has(s.one, "example.test", "127.0.0.11")
	client := l.client("eu-west")
	file, err := client.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, before, err := cl.Leader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refusal := func(what string, file []byte, r api.RestoreRequest, code int, says string) {
		t.Helper()
		var problem *api.Problem
		if _, err := client.Restore(t.Context(), file, r); !errors.As(err, &problem) || problem.Code != code || !strings.Contains(problem.What, says) {
			t.Errorf("%s: %v, want %d and %q", what, err, code, says)
		}
	}
	why := api.RestoreRequest{By: "ann", Why: "a test"}
	over := api.RestoreRequest{By: "ann", Why: "a test", Over: true}
	refusal("a ledger that is led", file, why, http.StatusConflict, "there is a ledger already")
	refusal("no reason", file, api.RestoreRequest{Over: true}, http.StatusBadRequest, "has no reason")
	refusal("half a file", file[:len(file)/2], over, http.StatusBadRequest, "the file ends here, before its end")
	refusal("a changed file", bytes.Replace(file, []byte(`"lab"`), []byte(`"lub"`), 1), over, http.StatusBadRequest, "it was changed or cut")
	other, err := cluster.Start(t.Context(), cluster.Config{Endpoints: []string{l.socket()}}, cluster.Options{Owner: "other", Name: "x", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }() // nothing was written through it
	b, err := other.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var foreign bytes.Buffer
	if err := b.Write(&foreign); err != nil {
		t.Fatal(err)
	}
	refusal("another owner's", foreign.Bytes(), over, http.StatusConflict, `the backup is of owner "other", and the config's is "lab"`)
	if _, term, err := cl.Leader(t.Context()); err != nil || term != before {
		t.Fatalf("the refusals changed the term from %d to %d, %v", before, term, err)
	}

	if _, err := client.Restore(t.Context(), file, over); err != nil {
		t.Fatal(err)
	}
	l.until("a leader of a higher term", func() bool {
		name, term, err := cl.Leader(t.Context())
		return err == nil && name == "eu-west" && term > before
	})
	notes, err := client.Notes(t.Context(), 0)
	if err != nil || len(notes) == 0 || !strings.HasPrefix(notes[len(notes)-1].Act, "restored the backup of ") || notes[len(notes)-1].By != "ann" {
		t.Errorf("the notes are %+v, %v", notes, err)
	}
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.has(s.one, "example.test", "127.0.0.12")
}

// TestBackupOfAStoppedDaemon has what the daemon's own has.
func TestBackupOfAStoppedDaemon(t *testing.T) {
	l, s := newWrittenLab(t)
	if _, err := daemon.Backup(t.Context(), l.offline()); !errors.Is(err, daemon.ErrNoLedger) {
		t.Errorf("of a host that has none: %v", err)
	}
	l.start("eu-west")
	l.start("us-east", "prober")
	l.watch()
	l.has(s.one, "example.test", "127.0.0.11")
	l.halt("us-east")
	if _, err := daemon.Backup(t.Context(), l.offline()); err == nil || !strings.Contains(err.Error(), "in use by another veer") {
		t.Errorf("beside a daemon that runs: %v", err)
	}
	l.halt("eu-west")
	file, err := daemon.Backup(t.Context(), l.offline())
	if err != nil {
		t.Fatal(err)
	}
	if told, err := daemon.ReadBackup(file); err != nil || told.Agreed || told.Shards == 0 || told.Decisions == 0 || told.Term < 1 {
		t.Errorf("%+v, %v", told, err)
	}
}

// TestStatusTellsOfHalfARestore: a restore that was broken off is why nobody
// leads.
func TestStatusTellsOfHalfARestore(t *testing.T) {
	l := newLab(t)
	l.start("eu-west", daemon.RoleProber)
	raw, err := clientv3.New(clientv3.Config{Endpoints: []string{l.socket()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }() // it only wrote one key
	if _, err := raw.Put(t.Context(), "/veer/lab/restoring", `{"id":"x","by":"ann"}`); err != nil {
		t.Fatal(err)
	}
	l.status("eu-west", func(st api.Status) bool {
		return slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.HasPrefix(w, "a restore has begun and not ended") })
	})
}
