//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// rateLimitLine switches Veer's rate limiting on, at its defaults, for clients on
// this host too, as all of these are.
const rateLimitLine = "rate_limit: {loopback: true}"

// knowsRateLimit returns rateLimitLine where a Veer's config may have it, and ""
// where it may not.
func knowsRateLimit(veer, dir string) (string, error) {
	v := values{Dir: filepath.Join(dir, "asked"), Zone: zone, Name: steeredName, Steered: steeredAddress, Spare: spareAddress, Port: 20053, Backend: 20080, RateLimit: rateLimitLine}
	k := kinds(veer, "")[0]
	if err := prepare(k, v); err != nil {
		return "", err
	}
	validate := func() error {
		return exec.Command(veer, "validate", "-c", filepath.Join(v.Dir, "veer.yaml")).Run() // #nosec G204 -- what is measured
	}
	if validate() == nil {
		return rateLimitLine, nil
	}
	v.RateLimit = ""
	if err := prepare(k, v); err != nil {
		return "", err
	}
	if err := validate(); err != nil {
		return "", fmt.Errorf("%s refuses the configuration with rate limiting and without: %w", veer, err)
	}
	fmt.Fprintln(os.Stderr, "benchdns: this Veer has no rate_limit: its figures are without")
	return "", nil
}
