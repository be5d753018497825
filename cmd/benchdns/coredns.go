//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// coreVersion is what --build-coredns builds: Debian has no package of it.
const coreVersion = "v1.15.0"

// buildCoreDNS builds CoreDNS as a module of its own, outside this one, and
// returns its binary.
func buildCoreDNS(ctx context.Context, dir string) (string, error) {
	fmt.Fprintf(os.Stderr, "benchdns: building CoreDNS %s\n", coreVersion)
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", "github.com/coredns/coredns@"+coreVersion)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build CoreDNS %s: %w; it said:\n%s", coreVersion, err, out)
	}
	return filepath.Join(dir, "coredns"), nil
}
