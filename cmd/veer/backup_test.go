package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
)

// backupFile is a backup of nothing.
func backupFile(more string) []byte {
	head := fmt.Sprintf(`{"veer_backup":1,"owner":"shop","term":7,"made":"2026-11-20T12:00:00Z","version":"v",%s"values":0}`+"\n", more)
	return []byte(head + fmt.Sprintf(`{"sha256":"%x"}`+"\n", sha256.Sum256([]byte(head))))
}

func TestBackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	for _, c := range []struct {
		name string
		fake fake
		args []string
		code int
		says string
	}{
		{"whole", fake{file: backupFile(`"agreed":true,`)}, []string{"backup", path}, exitDone, "owner shop, made 2026-11-20T12:00:00Z, term 7; 0 shards of the ledger, 0 orders, 0 decisions, 0 notes"},
		{"json", fake{file: backupFile(`"agreed":true,`)}, []string{"backup", path, "-o", "json"}, exitDone, `"agreed": true`},
		{"no majority", fake{file: backupFile(`"agreed":false,`)}, []string{"backup", path}, exitDone, "no majority of the members stands behind it"},
		{"left out", fake{file: backupFile(`"agreed":true,"left_out":3,`)}, []string{"backup", path}, exitDone, "the 3 oldest decisions had no room"},
		{"unread", fake{file: backupFile(`"agreed":true,"unread":["/veer/shop/shard/003: no"],`)}, []string{"backup", path}, exitDegraded, "left out: /veer/shop/shard/003: no"},
		{"half", fake{file: backupFile("")[:50]}, []string{"backup", filepath.Join(t.TempDir(), "none")}, exitFailed, "the file ends here, before its end"},
		{"no ledger", fake{err: &api.Problem{Code: http.StatusServiceUnavailable, What: "the ledger cannot be read"}}, []string{"backup", path}, exitFailed, "the ledger cannot be read"},
		{"no folder", fake{file: backupFile(`"agreed":true,`)}, []string{"backup", "/no/such/folder/b"}, exitFailed, "writing the backup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(&c.fake, "", nil)
			code := s.veer(t, c.args...)
			if said := strings.Join(strings.Fields(s.stdout.String()+s.stderr.String()), " "); code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("exit %d, want %d and %q: %s", code, c.code, c.says, said)
			}
		})
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v: expected it for this user alone", info, err)
	}
	t.Chdir(t.TempDir())
	if code := newSession(&fake{file: backupFile(`"agreed":true,`)}, "", nil).veer(t, "backup"); code != exitDone {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Stat("shop-20261120T120000Z.veer-backup"); err != nil {
		t.Error(err)
	}
}

func TestRestore(t *testing.T) {
	dir := t.TempDir()
	whole, broken := filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	for path, text := range map[string][]byte{whole: backupFile(`"agreed":true,`), broken: backupFile("")[:50]} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exists := &api.Problem{Code: http.StatusConflict, What: "there is a ledger already", Hint: "--over replaces it", Refused: true}
	for _, c := range []struct {
		name  string
		args  []string
		stdin string
		asks  bool
		err   error
		code  int
		asked string
		says  string
	}{
		{"yes", []string{whole, "--reason", " lost "}, "y\n", true, nil, exitDone, "restore", "the next leader's term is above 41"},
		{"over", []string{whole, "--reason", "lost", "--over"}, "y\n", true, nil, exitDone, "restore", "who leads is deposed"},
		{"no", []string{whole, "--reason", "lost"}, "\n", true, nil, exitFailed, "", "nothing was changed"},
		{"no terminal", []string{whole, "--reason", "lost"}, "", false, nil, exitUsage, "", "--yes"},
		{"not asked", []string{whole, "--reason", "lost", "-y"}, "", false, nil, exitDone, "restore", "example.org at bind: its fence did not answer"},
		{"no reason", []string{whole, "-y"}, "", false, nil, exitUsage, "", "--reason is needed"},
		{"refused", []string{whole, "--reason", "lost", "-y"}, "", false, exists, exitRefused, "restore", "--over replaces it"},
		{"broken", []string{broken, "--reason", "lost", "-y"}, "", false, nil, exitUsage, "", "is not a file that veer backup wrote: it is not a whole backup: line 1: the file ends here"},
		{"a folder", []string{dir, "--reason", "lost", "-y"}, "", false, nil, exitUsage, "", "is not a regular file"},
		{"none", []string{filepath.Join(dir, "none"), "--reason", "lost", "-y"}, "", false, nil, exitUsage, "", "no such file"},
		{"no file", []string{"--reason", "lost", "-y"}, "", false, nil, exitUsage, "", "FILE is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &fake{err: c.err}
			s := newSession(d, c.stdin, nil)
			s.asks = c.asks
			code := s.veer(t, append([]string{"restore"}, c.args...)...)
			said := strings.Join(strings.Fields(s.stdout.String()+s.stderr.String()), " ")
			if code != c.code || !strings.Contains(said, c.says) || strings.Join(d.asked, ", ") != c.asked {
				t.Errorf("exit %d, asked %v; want %d, %q and %q: %s", code, d.asked, c.code, c.asked, c.says, said)
			}
			if c.asked != "" && (d.restored.By != "lea" || d.restored.Why != "lost" || d.restored.Over != (c.name == "over")) {
				t.Errorf("the daemon was told %+v", d.restored)
			}
		})
	}
	s := newSession(&fake{}, "", nil)
	if code := s.veer(t, "restore", whole, "--reason", "x", "-y", "-o", "json"); code != exitDone {
		t.Fatalf("exit %d: %s", code, &s.stderr)
	}
	var out api.Restored
	if err := json.Unmarshal(s.stdout.Bytes(), &out); err != nil || out.Term != 41 || out.Backup.Owner != "shop" || out.Backup.File != whole {
		t.Errorf("%s, %v", &s.stdout, err)
	}
}
