package daemon_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

// TestAStandbyOfTheLeadersRegionDoesNotLead: of two controllers of one region,
// which campaign under one name, the status and the metrics of one say that it
// leads; and those of the other once it does.
func TestAStandbyOfTheLeadersRegionDoesNotLead(t *testing.T) {
	l := newLab(t)
	l.start("eu-west", daemon.RoleWitness) // etcd
	l.write("host.yaml", "http: {listen: \"127.0.0.1:0\"}\n")
	type standby struct {
		web
		stop context.CancelFunc
		done chan error
	}
	launch := func(folder string) standby {
		address := make(chan string, 1)
		s := standby{done: make(chan error, 1)}
		ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
		s.stop = stop
		go func() {
			s.done <- daemon.Run(ctx, daemon.Options{Config: l.configIn("us-east", folder, l.socket()), Roles: []string{daemon.RoleController}, Log: zerolog.Nop(), Hooks: daemon.Hooks{HTTP: func(a string) { address <- a }}})
		}()
		select {
		case a := <-address:
			s.web = web{t, "http://" + a, http.DefaultClient}
		case err := <-s.done:
			t.Fatal(err)
		}
		t.Cleanup(func() {
			stop()
			if err := <-s.done; err != nil {
				t.Errorf("%s: %v", folder, err)
			}
		})
		return s
	}
	leads := func(folder string, w web, itself bool, after int) int {
		t.Helper()
		st := l.status(folder, func(st api.Status) bool { return st.Leader.Name == "us-east" && int(st.Leader.Term) > after })
		if st.Leader.Itself != itself {
			t.Errorf("%s: the status says of the leader %+v; it is the process itself: %v", folder, st.Leader, itself)
		}
		want := "\nveer_leader 0\n"
		if itself {
			want = "\nveer_leader 1\n"
		}
		if _, text := w.get("/metrics", ""); !strings.Contains(text, want) || !strings.Contains(text, "\nveer_leader_known 1\n") {
			t.Errorf("%s: the metrics lack %q", folder, want)
		}
		return int(st.Leader.Term)
	}
	first := launch("one")
	leads("one", first.web, true, 0)
	second := launch("two")
	term := leads("two", second.web, false, 0)
	leads("one", first.web, true, 0)
	first.stop()
	err := <-first.done
	first.done <- nil
	if err != nil {
		t.Fatal(err)
	}
	leads("two", second.web, true, term)
}
