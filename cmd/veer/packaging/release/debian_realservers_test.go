//go:build realservers

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// exposed asks systemd how exposed the unit is, without the lines of some keys; an
// error if it is by more than 2.0.
func exposed(t *testing.T, without ...string) (string, error) {
	t.Helper()
	text, err := os.ReadFile("../veer.service")
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if key, _, _ := strings.Cut(line, "="); !slices.Contains(without, key) {
			kept.WriteString(line)
		}
	}
	file := filepath.Join(t.TempDir(), "veer.service")
	if err := os.WriteFile(file, []byte(kept.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", file).CombinedOutput()
	if !strings.Contains(string(out), "Overall exposure level") {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	return string(out), err
}

func TestUnitIsHardened(t *testing.T) {
	out, err := exposed(t)
	if err != nil {
		t.Errorf("the unit is exposed by more than 2.0: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Log(lines[len(lines)-1])
	// The check sees what it must.
	for _, planted := range [][]string{{"SystemCallFilter"}, {"CapabilityBoundingSet"}, {"User", "Group", "ProtectSystem"}} {
		if out, err := exposed(t, planted...); err == nil {
			t.Errorf("the check proves nothing: it takes a unit without %s\n%s", planted, out)
		}
	}
}

// TestVersionsSort asks dpkg and rpm themselves.
func TestVersionsSort(t *testing.T) {
	for i := range versions[1:] {
		older, newer := versions[i].packaged, versions[i+1].packaged
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", older, "lt", newer).Run(); err != nil {
			t.Errorf("for dpkg %s is not older than %s: %v", older, newer, err)
		}
		out, err := exec.CommandContext(t.Context(), "rpm", "--eval", `%{lua:print(rpm.vercmp("`+older+`", "`+newer+`"))}`).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "-1" {
			t.Errorf("for rpm %s is not older than %s: %v, %s", older, newer, err, out)
		}
	}
}
