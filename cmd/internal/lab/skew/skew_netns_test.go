//go:build netns

package skew

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const envFile = "VEERTEST_SKEW"

// TestMain is also the process whose clock is wrong: on each line that it
// reads it tells what its clocks say.
func TestMain(m *testing.M) {
	path := os.Getenv(envFile)
	if path == "" {
		os.Exit(m.Run())
	}
	began := time.Now()
	if err := Follow(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var line string
	for {
		if _, err := fmt.Scanln(&line); err != nil {
			return
		}
		now := time.Now()
		b, err := json.Marshal(said{now.UnixNano(), now.Sub(began)})
		if err != nil {
			panic(err)
		}
		fmt.Println(string(b))
	}
}

type said struct {
	Wall  int64
	Since time.Duration // by the monotonic clock
}

// TestTheWallClockIsOff, in a process of its own, from one moment to the next,
// and no other clock is.
func TestTheWallClockIsOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skew")
	if err := Set(path, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envFile+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	answers := json.NewDecoder(out)
	var last time.Duration
	for _, by := range []time.Duration{0, time.Hour, -time.Hour, 999_999_999, -999_999_999, 1, -1, -10 * 365 * 24 * time.Hour, 100 * 365 * 24 * time.Hour, 0} {
		if err := Set(path, by); err != nil {
			t.Fatal(err)
		}
		before := time.Now().UnixNano()
		if _, err := fmt.Fprintln(in, "now"); err != nil {
			t.Fatal(err)
		}
		var got said
		if err := answers.Decode(&got); err != nil {
			t.Fatal(err)
		}
		after := time.Now().UnixNano()
		if off := got.Wall - int64(by); off < before || off > after {
			t.Errorf("off by %s: its clock says %d, expected from %d to %d more than that", by, got.Wall, before, after)
		}
		if got.Since < last || got.Since > last+time.Minute {
			t.Errorf("off by %s: its monotonic clock goes from %s to %s", by, last, got.Since)
		}
		last = got.Since
	}
}
