package cluster_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/regions/cluster"
)

// copied starts three members whose data folders have one name, as where a host
// was made from the image of another.
func copied(t *testing.T) *trio {
	x := newTrio(t)
	x.conf.VoteLease = 20 * time.Second // nobody renews the seat
	for _, name := range trioNames {
		id := strings.Repeat("0123456789abcdef", 2) + "\n"
		if err := os.WriteFile(filepath.Join(x.dirs[name], "etcd.id"), []byte(id), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x.start(trioNames...)
	return x
}

// TestACopiedFolderDeposesNobody: who stands behind a leader that has a copy of
// its data folder's name does not take it for its own dead predecessor, nor the
// vantage's seat for its own.
func TestACopiedFolderDeposesNobody(t *testing.T) {
	t.Parallel()
	x := copied(t)
	lead, err := x.running["a"].Campaign(within(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.running["a"].Join(within(t), "eu"); err != nil {
		t.Fatal(err)
	}
	// Longer than a predecessor would live, or a promise is good for.
	takesNothing(t, x.running["b"], 5*time.Second)
	select {
	case <-lead.Done():
		t.Error("a was deposed")
	default:
	}
	if !lead.Sure() {
		t.Error("a is not sure that it leads")
	}
}

// TestOwnPlacesAreTakenBack: a process that was killed and starts anew on its
// data folder waits neither for its old seat's lease nor for its old promise,
// which would last longer than this test.
func TestOwnPlacesAreTakenBack(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	x.conf.VoteLease, x.conf.LeaderLease = 2*time.Minute, 2*time.Minute
	x.start(trioNames...)
	if _, err := x.running["b"].Join(within(t), "eu"); err != nil {
		t.Fatal(err)
	}
	lead, err := x.running["b"].Campaign(within(t), "b")
	if err != nil {
		t.Fatal(err)
	}
	x.stop("b") // gives up neither
	x.start("b")
	if _, err := x.running["b"].Join(within(t), "eu"); err != nil {
		t.Errorf("the seat: %v", err)
	}
	again, err := x.running["b"].Campaign(within(t), "b")
	if err != nil {
		t.Fatal(err)
	}
	if again.Term() <= lead.Term() {
		t.Errorf("term %d follows %d", again.Term(), lead.Term())
	}
}

// TestACopyOfAMemberIsNoSuccessor: a folder that was copied with its member of
// etcd, and is started while the first process's leases live, does not take that
// for its own dead predecessor: it may run elsewhere.
func TestACopyOfAMemberIsNoSuccessor(t *testing.T) {
	t.Parallel()
	to, err := os.MkdirTemp("", "v") // whose path is short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(to) }) // after the members' end
	x := newTrio(t)
	x.conf.VoteLease, x.conf.LeaderLease = 2*time.Minute, 2*time.Minute
	x.start(trioNames...)
	if _, err := x.running["b"].Join(within(t), "eu"); err != nil {
		t.Fatal(err)
	}
	if _, err := x.running["b"].Campaign(within(t), "b"); err != nil {
		t.Fatal(err)
	}
	x.stop("b") // gives up neither
	copyFolder(t, x.dirs["b"], to)
	x.dirs["b"] = to
	x.start("b")
	takesNothing(t, x.running["b"], 3*time.Second)
}

// takesNothing holds a process to neither lead nor sit on the seat of the vantage
// for so long.
func takesNothing(t *testing.T, c *cluster.Cluster, wait time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	seated := make(chan error, 1)
	go func() {
		_, err := c.Join(ctx, "eu")
		seated <- err
	}()
	if _, err := c.Campaign(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it leads: %v", err)
	}
	if err := <-seated; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it sits on the seat: %v", err)
	}
}

// copyFolder copies a folder's files, without sockets.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		name := filepath.Join(to, strings.TrimPrefix(path, from))
		if e.IsDir() {
			return os.Mkdir(name, 0o700)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(name, content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}
