package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

func contextFor(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

func moved() api.OrderResult {
	return api.OrderResult{InForce: true, Took: 12 * time.Millisecond, Moves: []api.Move{{
		Service: "app.example.test.",
		Before:  []providers.RRSet{set("app.example.test.", "A", 30, "192.0.2.10")},
		After:   []providers.RRSet{set("app.example.test.", "A", 30, "198.51.100.10")},
		Why:     []steering.Reason{{Rule: steering.RuleDrain, Text: "eu-west is drained by lea: kernel upgrade"}},
	}}}
}

func TestOrders(t *testing.T) {
	drain := []string{"drain", "eu-west", "--for", "2h", "--reason", " kernel upgrade "}
	refusal := &api.Problem{Code: http.StatusConflict, What: "draining eu-west would leave no answer", Hint: "Undrain another pool first.", Refused: true}
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
		{"yes", drain, "y\n", true, nil, exitDone, "status, order dry, order", "192.0.2.10 -> 198.51.100.10"},
		{"no", drain, "\n", true, nil, exitFailed, "status, order dry", "nothing was changed"},
		{"end of input", drain, "", true, nil, exitFailed, "status, order dry", "nothing was changed"},
		{"no terminal", drain, "y\n", false, nil, exitUsage, "", "--yes"},
		{"not asked", append(drain, "--yes"), "", false, nil, exitDone, "status, order", "for 2h: done, in force after 12 ms."},
		{"end", []string{"undrain", "eu-west", "--reason", "done", "-y"}, "", false, nil, exitDone, "status, end", "End drain of eu-west: done"},
		{"end of force", []string{"force", "eu-west", "--end", "--reason", "done", "-y"}, "", false, nil, exitDone, "status, end", "End force of eu-west: done"},
		{"forever", []string{"freeze", "eu-west", "--forever", "--reason", "x", "-y"}, "", false, nil, exitDone, "status, order", "Freeze eu-west forever: done"},
		{"no reason", []string{"drain", "eu-west", "--for", "2h", "-y"}, "", false, nil, exitUsage, "", "--reason is needed"},
		{"no length", []string{"drain", "eu-west", "--reason", "x", "-y"}, "", false, nil, exitUsage, "", "--for is needed"},
		{"both lengths", []string{"drain", "eu-west", "--reason", "x", "--for", "1h", "--forever", "-y"}, "", false, nil, exitUsage, "", "exclude each other"},
		{"too short", []string{"drain", "eu-west", "--reason", "x", "--for", "1ms", "-y"}, "", false, nil, exitUsage, "", "at least 1s"},
		{"too long", []string{"drain", "eu-west", "--reason", "x", "--for", "1000000h", "-y"}, "", false, nil, exitUsage, "", "--forever"},
		{"negative", []string{"drain", "eu-west", "--reason", "x", "--for", "-1h", "-y"}, "", false, nil, exitUsage, "", "at least 1s"},
		{"end has no length", []string{"undrain", "eu-west", "--reason", "x", "--for", "1h", "-y"}, "", false, nil, exitUsage, "", "unknown flag: --for"},
		{"typo", []string{"drain", "eu-wset", "--reason", "x", "--for", "1h", "-y"}, "", false, nil, exitUsage, "status", "did you mean eu-west?"},
		{"refused", append(drain, "--yes"), "", false, refusal, exitRefused, "status", "would leave no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &fake{status: healthy(), result: moved(), err: c.err}
			s := newSession(d, c.stdin, nil)
			s.asks = c.asks
			if code := s.veer(t, c.args...); code != c.code {
				t.Errorf("exit code %d, expected %d", code, c.code)
			}
			if got := strings.Join(d.asked, ", "); got != c.asked {
				t.Errorf("asked %q, expected %q", got, c.asked)
			}
			if text := s.stdout.String() + s.stderr.String(); !strings.Contains(text, c.says) {
				t.Errorf("expected %q in:\n%s", c.says, text)
			}
		})
	}
}

// An order that nothing has come of yet is said plainly, and by the exit code.
func TestOrderNotInForce(t *testing.T) {
	late := moved()
	late.InForce, late.Took, late.Note = false, 0, "the ledger has it, but no leader has acted on it yet: no controller leads; answers stay as they are"
	for _, output := range []string{"text", "json"} {
		s := newSession(&fake{status: healthy(), result: late}, "", nil)
		if code := s.veer(t, "drain", "eu-west", "--for", "2h", "--reason", "x", "-y", "-o", output); code != exitDegraded {
			t.Errorf("%s: exit code %d, expected %d", output, code, exitDegraded)
		}
		if output == "json" {
			var got api.OrderResult
			if err := json.Unmarshal(s.stdout.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(late, got); diff != "" {
				t.Error(diff)
			}
			continue
		}
		golden(t, "order-not-in-force.txt", s.stdout.String())
	}
}

func TestOrderSaysWhoAndWhy(t *testing.T) {
	d := &fake{status: healthy(), result: moved()}
	newSession(d, "", nil).veer(t, "drain", "app.example.test/eu-west/192.0.2.10", "--for", "90m", "--reason", "disk fails", "-y")
	want := api.OrderRequest{Act: steering.Drain, By: "lea", Why: "disk fails", For: 90 * time.Minute,
		Target: steering.Target{Service: "app.example.test.", Region: "eu-west", Address: "192.0.2.10"}}
	if diff := cmp.Diff(want, d.request); diff != "" {
		t.Error(diff)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		args []string
		code int
	}{
		{"done", nil, []string{"status"}, exitDone},
		{"no daemon", api.ErrNoDaemon, []string{"status"}, exitFailed},
		{"another error", errors.New("the daemon's reply is cut short"), []string{"journal"}, exitFailed},
		{"500", &api.Problem{Code: 500, What: "etcd does not answer"}, []string{"explain", "app"}, exitFailed},
		{"404", &api.Problem{Code: 404, What: "no service app"}, []string{"explain", "app"}, exitUsage},
		{"409", &api.Problem{Code: 409, What: "no verdict"}, []string{"explain", "app"}, exitRefused},
		{"unknown command", nil, []string{"statsu"}, exitUsage},
		{"unknown flag", nil, []string{"status", "--all"}, exitUsage},
		{"unknown output", nil, []string{"status", "-o", "yaml"}, exitUsage},
		{"missing argument", nil, []string{"explain"}, exitUsage},
		{"extra argument", nil, []string{"status", "app"}, exitUsage},
		{"bad time", nil, []string{"explain", "app", "--at", "yesterday"}, exitUsage},
		{"bad limit", nil, []string{"journal", "--limit", "0"}, exitUsage},
		{"bad type", nil, []string{"query", "app.example.test", "TYPEX", "--server", "127.0.0.1"}, exitUsage},
		{"bad server", nil, []string{"query", "app.example.test", "--server", "localhost"}, exitUsage},
		{"help", nil, []string{"drain", "--help"}, exitDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(&fake{status: healthy(), err: c.err}, "", nil)
			if code := s.veer(t, c.args...); code != c.code {
				t.Errorf("exit code %d, expected %d: %s", code, c.code, s.stderr.String())
			}
			if c.code != exitDone && s.stderr.Len() == 0 {
				t.Error("nothing was said")
			}
		})
	}
}
