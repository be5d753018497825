package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// release makes all that the options ask for.
func release(ctx context.Context, o options) error {
	made, err := os.MkdirTemp("", "veer-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made) //nolint:errcheck // a temporary folder
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	for _, t := range o.targets {
		dir := filepath.Join(made, t.os+"-"+t.arch)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := build(ctx, o, t, filepath.Join(dir, "veer")); err != nil {
			return err
		}
		if t.os != "linux" {
			continue
		}
		for _, format := range []string{"deb", "rpm"} {
			if !slices.Contains(o.kinds, format) {
				continue
			}
			name, err := pack(o, t, format, dir)
			if err != nil {
				return fmt.Errorf("the %s of %s: %w", format, t, err)
			}
			fmt.Println(filepath.Join(o.out, name))
		}
	}
	return nil
}

// settings of the environment that change a binary, as they are for everybody.
var settings = []string{"CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOWORK=off"}

// build makes the binary.
func build(ctx context.Context, o options, t target, to string) error {
	cmd := exec.CommandContext(ctx, o.goTool, "build", "-buildvcs=false", "-trimpath", "-ldflags", o.ldflags, "-o", to, "./cmd/veer") // #nosec G204 -- the go command
	cmd.Dir = o.root
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GOOS=") }), "GOOS="+t.os, "GOARCH="+t.arch)
	cmd.Env = append(cmd.Env, settings...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build for %s: %w", t, err)
	}
	return nil
}

// host is the system that this runs on.
var host = target{runtime.GOOS, runtime.GOARCH}
