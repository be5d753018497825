package daemon_test

import (
	"slices"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
)

// TestWitnessVotesAndSteersNothing gives two witnesses, one of them with etcd,
// all that a leader would need, and then a controller, which must be the first
// that ever led.
func TestWitnessVotesAndSteersNothing(t *testing.T) {
	l := newLab(t)
	l.start("eu-west", daemon.RoleWitness)
	l.start("us-east", daemon.RoleWitness)
	cl := l.watch()
	for _, v := range vantageNames[:2] {
		for _, id := range []regions.EndpointID{webOne, webTwo, webTri} {
			l.votes(regions.Name(v), id, "up")
		}
	}
	if l.server != "" {
		t.Errorf("a witness serves DNS on %s", l.server)
	}
	if name, term, err := cl.Leader(t.Context()); err != nil || name != "" || term != 0 {
		t.Errorf("%q leads with term %d (%v); a witness never does", name, term, err)
	}
	st := l.status("eu-west", func(st api.Status) bool { return st.Voters[0].Votes == 3 && st.Voters[1].Votes == 3 })
	if !slices.Equal(st.Roles, []string{daemon.RoleProber}) {
		t.Errorf("the roles are %v", st.Roles)
	}

	// Its votes count for one who steers, and its etcd carries them.
	l.start("ap-south", daemon.RoleController, daemon.RoleAuthority)
	l.answers("127.0.0.11")
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	if name, term, err := cl.Leader(t.Context()); err != nil || name != "ap-south" || term != 1 {
		t.Errorf("%q leads with term %d (%v); want ap-south with the first term", name, term, err)
	}

	// Nobody takes over, and the journal says who decided all there is.
	l.halt("ap-south")
	l.status("eu-west", func(st api.Status) bool { return st.Leader.Name == "" })
	l.down("127.0.0.12")
	for _, v := range vantageNames[:2] {
		l.votes(regions.Name(v), webTwo, "down")
	}
	entries, err := l.client("eu-west").Journal(t.Context(), "", 0, false)
	if err != nil || len(entries) == 0 {
		t.Fatalf("journal: %d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		if e.Term != 1 {
			t.Errorf("decision %d.%d is not of the only term that there was", e.Term, e.Seq)
		}
	}
}
