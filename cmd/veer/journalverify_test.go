package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/journalout"
)

// TestJournalVerify: files that are whole pass; an edit and an end that was cut
// off end with 1, and say where.
func TestJournalVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	f, err := journalout.OpenFile(journalout.FileConfig{Path: path}, journalout.Origin{Owner: "lab", Region: "eu-west"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := f.Append(t.Context(), journalout.KindNote, nil, map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	st, err := f.Settle()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	daemon := &fake{heads: []api.Export{{Region: "eu-west", Output: "file", Chain: st.Head.Chain, N: st.Head.N, Hash: st.Head.Hash}}}
	run := func(want int, text string, args ...string) string {
		t.Helper()
		s := newSession(daemon, "", nil)
		if code := s.veer(t, args...); code != want || !strings.Contains(s.stdout.String()+s.stderr.String(), text) {
			t.Errorf("%v: exit code %d, expected %d and %q:\n%s%s", args, code, want, text, s.stdout.String(), s.stderr.String())
		}
		return s.stdout.String()
	}
	run(exitDone, "Whether the end was cut off is not known", "journal", "verify", path)
	run(exitDone, "No end was cut off", "journal", "verify", "--ledger", path)
	run(exitDone, "chain "+st.Head.Chain+"  line 4", "journal", "heads")
	heads := filepath.Join(t.TempDir(), "heads.json")
	if err := os.WriteFile(heads, []byte(run(exitDone, st.Head.Hash, "journal", "heads", "-o", "json")), 0o600); err != nil {
		t.Fatal(err)
	}
	run(exitDone, "No end was cut off", "journal", "verify", "--heads", heads, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	if err := os.WriteFile(path, bytes.Join(lines[:3], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	run(exitFailed, path+": found line 2 as the last one", "journal", "verify", "--heads", heads, path)
	if err := os.WriteFile(path, bytes.Replace(whole, []byte(`{"n":2}`), []byte(`{"n":7}`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	run(exitFailed, path+":4: found the line's bytes have the hash", "journal", "verify", path)
	run(exitFailed, `"line": 4`, "journal", "verify", "-o", "json", path)
	run(exitFailed, "no such file", "journal", "verify", path+"x")
	run(exitUsage, "FILE is missing", "journal", "verify")
}

// TestNotifyTest: each receiver gets the message and has a line; one that
// refuses it ends the command with 1, and no secret is printed.
func TestNotifyTest(t *testing.T) {
	var got []string
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, string(body))
	}))
	defer good.Close()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.String(), http.StatusForbidden)
	}))
	defer bad.Close()
	dir := filepath.Dir(configFor(t, good.Listener))
	const canary = "canary-5d1b-in-the-url"
	for name, text := range map[string]string{
		"key": "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)), "slack": bad.URL + "/" + canary,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "veer.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "notifications: {receivers: {hook: {kind: webhook, url: \""+good.URL+"\", secret_file: key}, ops: {kind: slack, url_file: slack}}}\n"...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSession(nil, "", nil)
	code := s.veer(t, "notify", "test", "-c", path)
	out := s.stdout.String()
	if code != exitFailed || !strings.Contains(out, "hook  webhook  took the test message\n") || !strings.Contains(out, "ops   slack  did not take it: status 403\n") || strings.Contains(out+s.stderr.String(), canary) {
		t.Errorf("exit code %d:\n%s%s", code, out, s.stderr.String())
	}
	s = newSession(nil, "", nil)
	var results []struct {
		Receiver string
		Sent     bool
	}
	if code := s.veer(t, "notify", "test", "hook", "-o", "json", "-c", path); code != exitDone || json.Unmarshal(s.stdout.Bytes(), &results) != nil || len(results) != 1 || !results[0].Sent || len(got) != 2 {
		t.Errorf("exit code %d: %s%s, %d messages", code, s.stdout.String(), s.stderr.String(), len(got))
	}
	s = newSession(nil, "", nil)
	if code := s.veer(t, "notify", "test", "hok", "-c", path); code != exitUsage || !strings.Contains(s.stderr.String(), "hook") {
		t.Errorf("exit code %d: %s", code, s.stderr.String())
	}
}
