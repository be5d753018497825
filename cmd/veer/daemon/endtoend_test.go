package daemon_test

import (
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
)

const (
	webOne = regions.EndpointID("web@127.0.0.11")
	webTwo = regions.EndpointID("web@127.0.0.12")
	webTri = regions.EndpointID("web@127.0.0.13")
)

// threeVantages starts one daemon with all roles and two probers.
func threeVantages(t *testing.T) *lab {
	l := newLab(t)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.start("ap-south", daemon.RoleProber)
	l.watch()
	for _, v := range vantageNames {
		for _, id := range []regions.EndpointID{webOne, webTwo, webTri} {
			l.votes(regions.Name(v), id, "up")
		}
	}
	l.answers("127.0.0.11")
	return l
}

func TestFailoverAndBackThroughDNS(t *testing.T) {
	l := threeVantages(t)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.down("127.0.0.12")
	l.answers("127.0.0.13")
	l.up("127.0.0.11")
	l.answers("127.0.0.11")
}

func TestAllDownThroughDNS(t *testing.T) {
	l := threeVantages(t)
	for host := range l.backends {
		l.down(host)
	}
	for _, v := range vantageNames {
		for _, id := range []regions.EndpointID{webOne, webTwo, webTri} {
			l.votes(regions.Name(v), id, "down")
		}
	}
	l.until("all down", func() bool {
		st, err := l.client("eu-west").Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.query() // an answer in any case
		return st.Serves[0].AllDown
	})
	l.up("127.0.0.13")
	l.answers("127.0.0.13")
}

func TestSilentVantagesThroughDNS(t *testing.T) {
	l := threeVantages(t)
	l.halt("ap-south")
	l.until("ap-south is silent", func() bool { return len(l.observer.View().Ballots) == 2 })
	if got := l.query(); got[0] != "127.0.0.11" {
		t.Errorf("one silent vantage moved the answer to %v", got)
	}
	// The others still decide.
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.halt("us-east")
	l.until("us-east is silent", func() bool { return len(l.observer.View().Ballots) == 1 })
	l.down("127.0.0.12")
	l.votes("eu-west", webTwo, "down")
	l.flush()
	if got := l.query(); got[0] != "127.0.0.12" {
		t.Errorf("one vantage of three moved the answer to %v", got)
	}
}

func TestLyingVantageThroughDNS(t *testing.T) {
	l := newLab(t)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	cl := l.watch()
	l.votes("eu-west", webOne, "up")
	l.votes("us-east", webOne, "up")
	l.votes("us-east", webTwo, "up")
	l.votes("us-east", webTri, "up")
	seat, err := cl.Join(t.Context(), "ap-south")
	if err != nil {
		t.Fatal(err)
	}
	lie := func(round uint64, h map[regions.EndpointID]checks.Health) {
		b := regions.Ballot{Vantage: "ap-south"}
		for id, health := range h {
			b.Votes = append(b.Votes, regions.Vote{Vantage: "ap-south", Endpoint: id, Health: health, Round: round, Why: "a lie"})
		}
		if err := seat.Cast(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	lie(1, map[regions.EndpointID]checks.Health{webOne: checks.Down, webTwo: checks.Up, webTri: checks.Up})
	l.votes("ap-south", webOne, "down")
	l.flush()
	if got := l.query(); got[0] != "127.0.0.11" {
		t.Fatalf("a lie moved the answer to %v", got)
	}
	// It cannot hold traffic at a dead endpoint either.
	lie(2, map[regions.EndpointID]checks.Health{webOne: checks.Up, webTwo: checks.Down, webTri: checks.Down})
	l.votes("ap-south", webTwo, "down")
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	if err := seat.Leave(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLosingEtcdChangesNothing takes etcd, and the leader in the same process,
// away from an authority elsewhere.
func TestLosingEtcdChangesNothing(t *testing.T) {
	l := twoVoters(t)
	l.halt("us-east")
	second := l.start("us-east", daemon.RoleAuthority, daemon.RoleProber) // l.server is its address now
	l.answers("127.0.0.11")
	l.votes("us-east", webOne, "up")
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.halt("eu-west")
	l.down("127.0.0.12")
	for again := time.Tick(10 * time.Millisecond); ; <-again {
		st, err := l.client("us-east").Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := l.query(); got[0] != "127.0.0.12" {
			t.Fatalf("losing etcd changed the answer to %v", got)
		}
		if st.Leader.Name == "" && len(st.Warnings) > 0 {
			break
		}
	}
	select {
	case err := <-second.done:
		t.Fatalf("losing etcd ended the daemon: %v", err)
	default:
	}
	l.start("eu-west") // it answers too, and heals the rest
	l.until("the prober votes again", func() bool {
		for _, b := range l.observer.View().Ballots {
			if b.Vantage == "us-east" && len(b.Votes) > 0 {
				return true
			}
		}
		return false
	})
}
