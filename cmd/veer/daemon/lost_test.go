package daemon_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/daemon"
)

// TestALostLedgerBlocksNothing deletes etcd's folder and keeps the authority's
// snapshot: what was served stays, and newer decisions are taken over.
func TestALostLedgerBlocksNothing(t *testing.T) {
	l := newLab(t)
	l.write("veer.yaml", string(oneVantage(t, l)))
	first := l.start("eu-west", daemon.RoleAll)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.halt("eu-west")
	for _, name := range []string{"etcd", "etcd.id"} {
		if err := os.RemoveAll(filepath.Join(first.dataDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	l.start("eu-west", daemon.RoleAll)
	l.answers("127.0.0.12")
	l.down("127.0.0.12")
	l.answers("127.0.0.13")
}

// oneVantage is the lab's config with one vantage.
func oneVantage(t *testing.T, l *lab) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "veer.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("vantages: [eu-west]\n"), text...)
}

// TestARemovedServiceIsHeld takes a service out of the config: it is answered
// on, and status says so.
func TestARemovedServiceIsHeld(t *testing.T) {
	l := newLab(t)
	l.write("veer.yaml", string(oneVantage(t, l)))
	l.start("eu-west", daemon.RoleAll)
	l.down("127.0.0.11")
	l.answers("127.0.0.12") // the ledger knows it now
	l.halt("eu-west")
	text := string(oneVantage(t, l))
	text = strings.TrimPrefix(text, "vantages: [eu-west]\n")
	l.write("veer.yaml", strings.Replace(text, "name: app.example.test", "name: new.example.test", 1))
	l.start("eu-west", daemon.RoleAll)
	l.answers("127.0.0.12")
	want := "app.example.test is not in the config any more: its answer is held as it is"
	l.until(want, func() bool {
		st, err := l.client("eu-west").Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(st.Warnings, want) &&
			!slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.Contains(w, "another config") })
	})
}
