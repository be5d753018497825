package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

func takenOver() api.Takeover {
	return api.Takeover{Term: 8, Holder: "takeover-eu-west-1", By: "lea", Why: "two regions are lost", Began: noon(), Orders: []controller.Order{},
		Zones: []api.TakenZone{{Provider: "aws", Zone: "example.com.", State: api.Taken, Fence: "veer-fence owner=shop term=7 holder=ab write=12"},
			{Provider: "bind", Zone: "example.test.", State: api.Taken}}}
}

func TestTakeoverCommand(t *testing.T) {
	args := []string{"takeover", "--reason", " two regions are lost "}
	end := []string{"takeover", "--end", "--reason", "all is well"}
	part := takenOver()
	part.Zones[1].State, part.Zones[1].Error = api.TakenRefused, "fenced: the zone has term 90"
	quorum := &api.Problem{Code: http.StatusConflict, What: "a quorum answers: there is nothing to take over", Refused: true}
	for _, c := range []struct {
		name  string
		args  []string
		stdin string
		asks  bool
		taken api.Takeover
		ended api.TakeoverEnd
		err   error
		code  int
		asked string
		says  string
	}{
		{"yes", args, "y\n", true, takenOver(), api.TakeoverEnd{}, nil, exitDone, "takeover dry true, takeover dry false", "example.com at aws: taken, veer-fence owner=shop term=7"},
		{"no", args, "n\n", true, takenOver(), api.TakeoverEnd{}, nil, exitFailed, "takeover dry true", "Take over with term 8, in this order:"},
		{"no terminal", args, "", false, takenOver(), api.TakeoverEnd{}, nil, exitUsage, "", "--yes"},
		{"not asked", append(args, "--yes"), "", false, takenOver(), api.TakeoverEnd{}, nil, exitDone, "takeover dry false", "example.test at bind: taken, no fence yet"},
		{"in part", append(args, "--yes"), "", false, part, api.TakeoverEnd{}, nil, exitDegraded, "takeover dry false", "refused: fenced: the zone has term 90"},
		{"no reason", []string{"takeover", "--yes"}, "", false, takenOver(), api.TakeoverEnd{}, nil, exitUsage, "", "--reason is needed"},
		{"a quorum", append(args, "--yes"), "", false, takenOver(), api.TakeoverEnd{}, quorum, exitRefused, "takeover dry false", "a quorum answers"},
		{"end", end, "", false, takenOver(), api.TakeoverEnd{Term: 8, Orders: make([]controller.Order, 2), InForce: true}, nil, exitDone, "end takeover", "takeover of term 8 has ended; its 2 orders are in the ledger now"},
		{"end without a leader", end, "", false, takenOver(), api.TakeoverEnd{Term: 8, Orders: make([]controller.Order, 1), Note: "no controller leads"}, nil, exitDegraded, "end takeover", "its order is in the ledger now.\n  no controller leads"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &fake{status: healthy(), takeover: c.taken, ended: c.ended, err: c.err}
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
	s := newSession(&fake{takeover: takenOver()}, "", nil)
	s.veer(t, "takeover", "--reason", "x", "-y", "-o", "json")
	var got api.Takeover
	if err := json.Unmarshal(s.stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(takenOver(), got); diff != "" {
		t.Error(diff)
	}
}

// --local goes with a drain and its end, and is said.
func TestLocalOrders(t *testing.T) {
	d := &fake{status: healthy(), result: moved()}
	s := newSession(d, "", nil)
	if code := s.veer(t, "drain", "eu-west", "--local", "--for", "2h", "--reason", "x", "-y"); code != exitDone {
		t.Fatalf("exit code %d: %s", code, s.stderr.String())
	}
	want := api.OrderRequest{Act: steering.Drain, By: "lea", Why: "x", For: 2 * time.Hour, Local: true, Target: steering.Target{Region: "eu-west"}}
	if diff := cmp.Diff(want, d.request); diff != "" {
		t.Error(diff)
	}
	if text := s.stdout.String(); !strings.Contains(text, "Drain eu-west for 2h on this server alone: done") {
		t.Errorf("it says\n%s", text)
	}
	s = newSession(d, "", nil)
	if code := s.veer(t, "undrain", "eu-west", "--local", "--reason", "x", "-y"); code != exitDone || !d.request.Local {
		t.Errorf("exit code %d, %+v", code, d.request)
	}
	if text := s.stdout.String(); !strings.Contains(text, "End drain of eu-west on this server alone: done") {
		t.Errorf("it says\n%s", text)
	}
	for _, act := range []string{"force", "freeze"} {
		if code := newSession(d, "", nil).veer(t, act, "eu-west", "--local", "--for", "2h", "--reason", "x", "-y"); code != exitUsage {
			t.Errorf("%s --local: exit code %d", act, code)
		}
	}
}

func TestExplainSaysRoundTrips(t *testing.T) {
	e := explained()
	e.Service.Pools[1].Endpoints[0].Votes[0].RoundTrip = 20 * time.Millisecond
	s := newSession(&fake{explain: e}, "", nil)
	s.veer(t, "explain", "app.example.test")
	if text := s.stdout.String(); !strings.Contains(text, "round trip 20ms; no reason given") {
		t.Errorf("it says\n%s", text)
	}
}

func TestExplainSaysWhatIsAnsweredHere(t *testing.T) {
	e := explained()
	e.Service.Here = []providers.RRSet{set("app.example.test.", "A", 5, "192.0.2.10")}
	s := newSession(&fake{explain: e}, "", nil)
	s.veer(t, "explain", "app.example.test")
	if text := s.stdout.String(); !strings.Contains(text, "here      192.0.2.10, by this server alone") {
		t.Errorf("it says\n%s", text)
	}
}
