package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// unit is what the unit says, by key; a key that is empty begins a list anew.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../veer.service")
	if err != nil {
		t.Fatal(err)
	}
	says := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			says[key] = append(says[key], value)
		}
	}
	return says
}

// The unit is what docs/install.md promises, and what postinstall.sh counts on.
func TestUnit(t *testing.T) {
	const capabilities = "CAP_NET_BIND_SERVICE CAP_NET_RAW"
	says := unit(t)
	for key, want := range map[string][]string{
		"User":                  {"veer"},
		"Group":                 {"veer"},
		"AmbientCapabilities":   {capabilities},
		"CapabilityBoundingSet": {capabilities},
		"NoNewPrivileges":       {"yes"},
		"ProtectSystem":         {"strict"},
		"SystemCallFilter":      {"@system-service", "~@privileged @resources"},
		"EnvironmentFile":       {"-/etc/veer/veer.env"},
	} {
		if !slices.Equal(says[key], want) {
			t.Errorf("%s is %q, expected %q", key, says[key], want)
		}
	}
	if reload := says["ExecReload"]; len(reload) < 2 || reload[0] != "/usr/bin/veer validate -c /etc/veer/veer.yaml" {
		t.Errorf("ExecReload is %q: expected that it validates first", reload)
	}
}

// Terraform has no unit of its own.
func TestOneUnit(t *testing.T) {
	ours, err := os.Stat("../veer.service")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Stat(repository(t) + "/terraform/files/veer.service")
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(ours, theirs) {
		t.Error("terraform/files/veer.service is another file than cmd/veer/packaging/veer.service: expected a link to it")
	}
}
