package daemon

import (
	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/config"
)

// Checker makes what probes as the monitor says, for `veer check`: the same as
// `veer run` uses.
func Checker(m config.Monitor) (checks.Prober, error) { return checkerOf(m) }
