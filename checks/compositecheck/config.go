package compositecheck

import (
	"fmt"
	"slices"
	"strconv"
)

// maxParts bounds how many parts one composite has.
const maxParts = 16

// Config is what a composite is made of.
type Config struct {
	// Monitors names the monitors that are its parts.
	Monitors []string `yaml:"monitors"`
	// Need is how many parts must work: all, any or a count; "" is all.
	Need string `yaml:"need,omitempty"`
}

// Check reports every problem of the config by the field's key path. Whether
// the monitors exist is for whoever knows them.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if n := len(c.Monitors); n < 2 || n > maxParts {
		bad("monitors", "a list of %d; expected 2 to %d monitors", n, maxParts)
	}
	for i, name := range c.Monitors {
		if slices.Contains(c.Monitors[:i], name) {
			bad("monitors["+strconv.Itoa(i)+"]", "%q is listed twice; expected each monitor once", name)
		}
	}
	if _, err := c.need(); err != nil {
		bad("need", "%v", err)
	}
}

func (c Config) need() (int, error) {
	n := len(c.Monitors)
	switch c.Need {
	case "", "all":
		return n, nil
	case "any":
		return 1, nil
	}
	need, err := strconv.Atoi(c.Need)
	if err != nil || strconv.Itoa(need) != c.Need || need < 1 || need > n {
		return 0, fmt.Errorf("%q; expected all, any or a count from 1 to the number of monitors, %d", c.Need, n)
	}
	return need, nil
}
