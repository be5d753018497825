package httpcheck_test

import (
	"testing"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/httpcheck"
)

// maker makes a prober of a config, as one of the paths that probes take.
type maker func(*testing.T, httpcheck.Config) checks.Prober

// paths runs a test on every path: Probe, and where there is one an engine.
func paths(t *testing.T, test func(*testing.T, maker)) {
	t.Run("probe", func(t *testing.T) {
		test(t, func(t *testing.T, c httpcheck.Config) checks.Prober { return prober(t, c) })
	})
	if onEngine != nil {
		t.Run("engine", func(t *testing.T) { test(t, onEngine) })
	}
}
