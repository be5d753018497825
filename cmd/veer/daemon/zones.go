package daemon

import (
	"fmt"
	"time"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions/controller"
)

// behindAtMost is how long a zone may be behind the ledger before it is a
// warning: every move makes it so for a moment.
const behindAtMost = 30 * time.Second

// zoneWarnings are what is not as it should be with a zone of a provider.
func zoneWarnings(c *config.Config, z controller.ZoneState) []string {
	var out []string
	add := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%s at %s: %s", short(z.Zone), z.Provider, fmt.Sprintf(format, args...)))
	}
	since := z.Since.Round(time.Second)
	switch z.State {
	case controller.ZoneFailing:
		add("it cannot be written for %s: %s%s", since, z.Error, behindText(z))
	case controller.ZoneReadOnly:
		add("it is only read: %s%s", z.Error, behindText(z))
	case controller.ZoneGuarded:
		add("%s", z.Error)
	case controller.ZoneBehind:
		if since >= behindAtMost {
			add("it is behind the ledger for %s%s%s", since, colon(z.Error), behindText(z))
		}
	case controller.ZoneRefused:
		if len(z.Refused) == 0 {
			add("%s", z.Error)
		}
	}
	for _, r := range z.Refused {
		add("%s is not written: %s", short(r.Name), r.Why)
	}
	if declared := propagation(c, z.Provider); z.Propagation > declared {
		add("a change took %s until all name servers had it, and its propagation is declared as %s: raise it, or the budgets are too small",
			z.Propagation.Round(time.Second), declared)
	}
	return out
}

// propagation is what the config declares of a written provider.
func propagation(c *config.Config, name string) time.Duration {
	for _, p := range c.Providers {
		if w := p.Written(); w != nil && p.Name == name {
			_, declared := w.Worst()
			return declared
		}
	}
	return 0
}

// behindText counts the names whose answer is not there.
func behindText(z controller.ZoneState) string {
	switch n := len(z.Behind); n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; the answer of %s is an older one there", short(z.Behind[0].Name))
	default:
		return fmt.Sprintf("; %d answers are older ones there, that of %s first", n, short(z.Behind[0].Name))
	}
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
