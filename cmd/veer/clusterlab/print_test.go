//go:build netns

package clusterlab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/regions/steering"
)

const (
	sigStop = syscall.SIGSTOP
	sigCont = syscall.SIGCONT
)

// repeats is how often something is done: VEER_REPEATS, or the size's own.
func repeats(t *testing.T, own int) int {
	t.Helper()
	text := os.Getenv("VEER_REPEATS")
	if text == "" {
		return own
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("VEER_REPEATS=%q: expected a number from 1", text)
	}
	return n
}

// times is a distribution.
type times []time.Duration

func (d times) at(share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[int(share*float64(len(sorted)-1)+0.5)]
}

func (d times) worst() time.Duration { return slices.Max(d) }

func (d times) String() string {
	var all []string
	for _, one := range slices.Sorted(slices.Values(d)) {
		all = append(all, fmt.Sprintf("%.2f", one.Seconds()))
	}
	return fmt.Sprintf("p50 %.2f s, worst %.2f s of %d (%s), load %s",
		d.at(0.5).Seconds(), d.worst().Seconds(), len(d), strings.Join(all, " "), lab.Load())
}

// bound prints whether the worst is within a bound, and with VEER_BOUNDS, as
// `make bench-cluster` sets it, fails if not: a machine that is busy with other
// things must not fail CI.
func (d times) bound(t *testing.T, what string, most time.Duration) {
	t.Helper()
	verdict := "PASS"
	if d.worst() > most {
		verdict = "FAIL"
	}
	t.Logf("%s: %s: worst %.2f s, bound %.2f s", verdict, what, d.worst().Seconds(), most.Seconds())
	if verdict == "FAIL" && os.Getenv("VEER_BOUNDS") != "" {
		t.Errorf("%s: worst %s, bound %s", what, d.worst(), most)
	}
}

// budget is what `veer validate` computes of a service, and without the terms
// that are left out.
func (w *world) budget(service string, without ...string) time.Duration {
	w.t.Helper()
	cmd := exec.Command(w.veer, "validate", "-o", "json", "-c", filepath.Join(w.regions[0].dir, "veer.yaml"))
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("veer validate: %v\n%s", err, out)
	}
	var v struct {
		Services []struct {
			Name   string
			Budget steering.Budget
		}
	}
	if err := json.Unmarshal(out, &v); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range v.Services {
		if s.Name != service {
			continue
		}
		total := s.Budget.Total
		for _, term := range s.Budget.Terms {
			if slices.Contains(without, term.Name) {
				total -= term.Took
			}
		}
		return total
	}
	w.t.Fatalf("veer validate tells of no %s: %s", service, out)
	return 0
}

// least prints whether a budget is at most 1.5 times the worst that was
// measured: else it promises too little.
func (d times) least(t *testing.T, what string, budget time.Duration) {
	t.Helper()
	ratio := budget.Seconds() / d.worst().Seconds()
	verdict := "PASS"
	if ratio > 1.5 {
		verdict = "FAIL"
	}
	t.Logf("%s: %s: %.2f s / %.2f s = %.2f", verdict, what, budget.Seconds(), d.worst().Seconds(), ratio)
	if verdict == "FAIL" && os.Getenv("VEER_BOUNDS") != "" {
		t.Errorf("%s: it is %.2f times", what, ratio)
	}
}
