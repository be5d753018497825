//go:build realservers

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
)

// buildVeer builds the command as users get it.
func buildVeer(t *testing.T) string {
	t.Helper()
	veer := filepath.Join(t.TempDir(), "veer")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-o", veer, "github.com/veerdns/veer/cmd/veer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building veer: %v\n%s", err, out)
	}
	return veer
}

// TestThroughDig shows properties 2, 3 and 4 of the design from outside: three
// processes, real config, real signals, dig.
func TestThroughDig(t *testing.T) {
	veer := buildVeer(t)
	table := []string{tableHead}
	for _, c := range []struct {
		name string
		run  func(*stack) row
	}{
		{"one of three says all down", liesDown},
		{"one of three says all up", liesUp},
		{"one is stopped, then killed", oneSilent},
		{"all are silent", allSilent},
		{"all endpoints are down", allDown},
		{"kill -9 of the daemon", killed},
	} {
		t.Run(c.name, func(t *testing.T) {
			table = append(table, c.run(newStack(t, veer)).line(c.name))
		})
	}
	t.Log("\n" + strings.Join(table, "\n"))
}

// liesDown: a minority that calls everything down moves nothing, and does not
// keep the others from moving.
func liesDown(s *stack) row {
	s.startAll("lies-down.yaml")
	stream := s.stream()
	s.until("the lie is heard", func(st api.Status) bool {
		v := voter(st, "ap-south")
		return v.Fresh && v.Down == 3
	})
	s.flush()
	s.still(one, "after a lie of one vantage")
	s.kill(one)
	s.answers(two)
	s.flush()
	return stream.end(one, two)
}

// liesUp: a minority that calls everything up cannot hold traffic at an
// endpoint that is down.
func liesUp(s *stack) row {
	for _, address := range []string{one, two, tri} {
		s.serve(address, s.decoy)
	}
	s.startAll("lies-up.yaml")
	stream := s.stream()
	s.kill(one)
	s.answers(two)
	s.until("the liar holds on", func(st api.Status) bool {
		us, eu := voter(st, "us-east"), voter(st, "eu-west")
		return us.Down == 1 && eu.Down == 1 && voter(st, "ap-south").Down == 0
	})
	s.flush()
	s.still(two, "while one vantage calls 127.0.0.11 up")
	return stream.end(one, two)
}

func (s *stack) signal(name string, sig syscall.Signal) {
	s.t.Helper()
	if err := s.procs[name].Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func silent(st api.Status, names ...regions.Name) bool {
	for _, n := range names {
		if voter(st, n).Fresh {
			return false
		}
	}
	return true
}

// oneSilent: a vantage that hangs, and one that is gone, move nothing, and the
// other two still decide.
func oneSilent(s *stack) row {
	s.startAll("veer.yaml")
	stream := s.stream()
	s.signal("ap-south", syscall.SIGSTOP)
	s.until("ap-south is silent", func(st api.Status) bool { return silent(st, "ap-south") })
	s.flush()
	s.still(one, "with one vantage stopped")
	s.kill(one)
	s.answers(two)
	s.signal("ap-south", syscall.SIGCONT)
	s.ready()
	s.flush()
	s.still(two, "with the vantage back")
	s.procs["ap-south"].Kill()
	s.until("ap-south is silent again", func(st api.Status) bool { return silent(st, "ap-south") })
	s.flush()
	s.still(two, "with one vantage killed")
	s.serve(one, s.web)
	s.answers(one)
	return stream.end(one, two, one)
}

// allSilent: when nobody probes, nothing moves, whatever happens to the
// endpoints. The authority and the leader are in a process of their own.
func allSilent(s *stack) row {
	s.start("main", "eu-west", "veer.yaml", "controller", "authority")
	for _, region := range regionNames {
		s.start(region, region, "veer.yaml", "prober")
	}
	s.ready()
	s.kill(one)
	s.answers(two) // not the answer of a first start
	stream := s.stream()
	for _, region := range regionNames {
		s.procs[region].Kill()
	}
	s.until("all are silent", func(st api.Status) bool { return silent(st, "eu-west", "us-east", "ap-south") })
	s.flush()
	s.still(two, "with all vantages silent")
	s.serve(one, s.web)
	s.kill(two, tri)
	s.flush()
	s.still(two, "with all vantages silent and its endpoint down")
	return stream.end(two)
}

// allDown: the answer is never empty, and the way out is taken.
func allDown(s *stack) row {
	s.startAll("veer.yaml")
	stream := s.stream()
	s.kill(two, tri)
	s.until("two endpoints are down", func(st api.Status) bool {
		return voter(st, "eu-west").Down == 2 && voter(st, "us-east").Down == 2 && voter(st, "ap-south").Down == 2
	})
	s.kill(one) // so 127.0.0.11 was the last good answer
	s.until("all are down", func(st api.Status) bool {
		return app(st).AllDown && voter(st, "eu-west").Down == 3 && voter(st, "us-east").Down == 3 && voter(st, "ap-south").Down == 3
	})
	s.flush()
	s.still(one, "with all endpoints down")
	s.serve(tri, s.web)
	s.answers(tri)
	return stream.end(one, tri)
}

// killed: after kill -9 of the process that leads, serves and holds etcd, the
// first answer and all that follow are those from before.
func killed(s *stack) row {
	s.startAll("veer.yaml")
	s.kill(one)
	s.answers(two)
	s.flush()
	s.procs["main"].Kill()
	s.start("main", "eu-west", "veer.yaml")
	s.poll("the daemon serves again", func() (bool, string) {
		r := s.dig(appName)
		if r.status != "" && (r.status != "NOERROR" || r.data != two) {
			s.t.Fatalf("the first answer after kill -9 is not %s:\n%s", two, r.text)
		}
		return r.status != "", r.text
	})
	stream := s.stream()
	s.ready()
	s.flush()
	s.still(two, "after kill -9 and a new term")
	return stream.end(two)
}
