package daemon_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// warned reports whether a warning has all of the words.
func warned(st api.Status, words ...string) bool {
	return slices.ContainsFunc(st.Warnings, func(text string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
	})
}

// A vantage that runs another config is named, with the hashes of both.
func TestAnotherConfigIsTold(t *testing.T) {
	l := newLab(t)
	l.start("eu-west")
	own := l.status("eu-west", func(st api.Status) bool { return st.Voters[0].Config != "" })
	if own.Voters[0].Config != own.Config || warned(own, "runs another config") {
		t.Errorf("config %s, published %s, warnings %q", own.Config, own.Voters[0].Config, own.Warnings)
	}
	l.edit("hold: 1s", "hold: 2s")
	l.start("us-east", daemon.RoleProber)
	is := l.status("eu-west", func(st api.Status) bool { return warned(st, "vantage us-east runs another config") })
	if other := is.Voters[1].Config; other == "" || other == is.Config || !warned(is, other, is.Config) {
		t.Errorf("us-east runs %q, eu-west %q: %q", other, is.Config, is.Warnings)
	}
	l.status("us-east", func(st api.Status) bool { return warned(st, "vantage eu-west runs another config") })
}

// manyServices are n services of one monitor each, so that each has endpoints of
// its own on the lab's addresses, in this order. The monitors are patient.
func manyServices(n int, order ...int) (monitors, services string) {
	for i := range n {
		monitors += fmt.Sprintf("  m%d: {kind: http, path: /, port: PORT, interval: 2s, timeout: 2s, fall: 2, rise: 1, recheck: 30ms}\n", i)
		services += fmt.Sprintf("  - name: s%d.example.test\n    monitor: m%d\n    pools:\n", i, i)
		for _, k := range order {
			services += fmt.Sprintf("      - {region: %s, endpoints: [127.0.0.1%d]}\n", vantageNames[k-1], k)
		}
		services += "    ttl: {min: 1s, max: 5s}\n    damping: off\n"
	}
	return monitors, services
}

// many writes such a config beside what the lab has.
func (l *lab) many(n int, more string, order ...int) {
	monitors, services := manyServices(n, order...)
	l.write("veer.yaml", strings.ReplaceAll(fmt.Sprintf(labConfig, l.port, markerName()), "services:\n", strings.ReplaceAll(monitors, "PORT", fmt.Sprint(l.port))+"services:\n"+services)+more)
}

func name(i int) string { return fmt.Sprintf("s%d.example.test.", i) }

// A config that alters most answers is held, shown, and confirmed.
func TestAWideConfigIsConfirmed(t *testing.T) {
	l := newLab(t)
	// Velocity lets ten services return a minute, whichever are decided first: then
	// two of the twelve would come after a minute.
	const velocity = "velocity: off\n"
	l.many(12, velocity, 1, 2, 3)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.watch()
	l.until("the first answers", func() bool { return l.says(name(11), "127.0.0.11") })
	for i := range 12 {
		for k := range 3 {
			l.votes("us-east", regions.EndpointID(fmt.Sprintf("m%d@127.0.0.1%d", i, k+1)), "up")
			l.votes("eu-west", regions.EndpointID(fmt.Sprintf("m%d@127.0.0.1%d", i, k+1)), "up")
		}
	}
	l.status("eu-west", func(st api.Status) bool { return st.Leader.Name != "" && !warned(st, "is unknown") })
	l.halt("eu-west")
	l.many(12, velocity, 2, 1, 3)
	l.start("eu-west")
	st := l.status("eu-west", func(st api.Status) bool { return warned(st, "alone would alter too many answers", "12 of 14") })
	if !l.says(name(3), "127.0.0.11") {
		t.Errorf("%s moved before the config was confirmed", name(3))
	}
	client := l.client("eu-west")
	if e, err := client.Explain(t.Context(), name(3), ""); err != nil || !slices.ContainsFunc(e.Rules, func(r steering.Reason) bool { return r.Rule == steering.RuleUnconfirmed }) {
		t.Errorf("explain says %+v, %v", e.Rules, err)
	}
	plan, err := client.Plan(t.Context(), false)
	if err != nil || len(plan.Unconfirmed) != 12 || plan.Unconfirmed[0].After[0].Data[0] != "127.0.0.12" {
		t.Errorf("the plan shows %+v, %v", plan.Unconfirmed, err)
	}
	_, err = client.Apply(t.Context(), controller.Request{AcceptConfig: "0123456789abcdef", By: "alice", Why: "test"})
	wantProblem(t, err, 409, "nothing is confirmed")
	if _, err := client.Apply(t.Context(), controller.Request{AcceptConfig: st.Config, By: "alice", Why: "test"}); err != nil {
		t.Fatal(err)
	}
	l.until("the new answers", func() bool {
		for i := range 12 {
			if !l.says(name(i), "127.0.0.12") {
				return false
			}
		}
		return true
	})
	l.status("eu-west", func(st api.Status) bool { return !warned(st, "alone would alter") })
	notes, err := client.Notes(t.Context(), 10)
	if err != nil || !slices.ContainsFunc(notes, func(n api.Note) bool { return n.Act == "confirmed config "+st.Config && n.By == "alice" }) {
		t.Errorf("notes %+v, %v", notes, err)
	}
}

// says reports whether the authority answers a name with an address.
func (l *lab) says(name, address string) bool {
	got, err := ask(l.server, name)
	return err == nil && slices.Equal(got, []string{address})
}

// Two regions fall at once: that is told, and over after its time.
func TestAPanicIsTold(t *testing.T) {
	t.Parallel() // it waits more than it works
	l := newLab(t)
	l.many(8, "panic: {span: 20s, hold: 10s}\n", 1, 2, 3)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.watch()
	for i := range 8 {
		for k := range 3 {
			for _, v := range vantageNames[:2] {
				l.votes(regions.Name(v), regions.EndpointID(fmt.Sprintf("m%d@127.0.0.1%d", i, k+1)), "up")
			}
		}
	}
	l.until("the first answers", func() bool { return l.says(name(7), "127.0.0.11") })
	l.down("127.0.0.11")
	l.down("127.0.0.12")
	st := l.status("eu-west", func(st api.Status) bool { return warned(st, "panic:", "endpoints in eu-west", "endpoints in us-east") })
	told := slices.ContainsFunc(st.Serves, func(s api.Service) bool {
		return slices.ContainsFunc(s.Why, func(r steering.Reason) bool { return r.Rule == steering.RulePanic })
	})
	if !told {
		t.Errorf("no service gives the panic for a reason: %+v", st.Serves)
	}
	l.until("the answers of the third region", func() bool { return l.says(name(0), "127.0.0.13") && l.says(name(7), "127.0.0.13") })
	l.status("eu-west", func(st api.Status) bool { return !warned(st, "panic:") })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	entries, err := l.client("eu-west").Journal(ctx, "", 500, false)
	if err != nil || !slices.ContainsFunc(entries, func(e steering.Entry) bool { return strings.Contains(e.Cause, "the panic is over: its time is over") }) {
		t.Errorf("the journal of %d entries does not tell of the end of the panic, %v", len(entries), err)
	}
}
