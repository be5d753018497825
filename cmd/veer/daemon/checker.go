package daemon

import (
	"fmt"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/callcheck"
	"github.com/veerdns/veer/checks/compositecheck"
	"github.com/veerdns/veer/cmd/veer/config"
)

// Checker makes what probes as the monitor says, for `veer check`: the same as
// `veer run` uses.
func Checker(m config.Monitor) (checks.Prober, error) { return checkerOf(m, deaf()) }

// compositeOf makes the checker of a composite and those of its parts.
func compositeOf(m config.Monitor, book *callcheck.Book) (checks.Prober, error) {
	var parts []compositecheck.Part
	for _, p := range m.Parts {
		checker, err := checkerOf(p.Monitor, book)
		if err != nil {
			return nil, fmt.Errorf("the part %s: %w", p.Name, err)
		}
		parts = append(parts, compositecheck.Part{Name: p.Name, Prober: checker, Port: p.Monitor.Port, Slow: p.Monitor.Slow})
	}
	return compositecheck.New(*m.Composite, parts)
}
