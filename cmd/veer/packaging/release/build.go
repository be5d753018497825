package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// host is the system that this runs on.
var host = target{runtime.GOOS, runtime.GOARCH}

// release makes all that the options ask for, and prints the names with their
// hashes and sizes.
func release(ctx context.Context, o options) error {
	made, err := os.MkdirTemp("", "veer-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)                          //nolint:errcheck // a temporary folder
	if err := os.MkdirAll(o.out, 0o755); err != nil { // #nosec G301 -- for everybody
		return err
	}
	var names []string
	for _, t := range o.targets {
		more, err := releaseFor(ctx, o, t, made)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		names = append(names, more...)
	}
	if o.makes("image") {
		if err := image(o, made); err != nil {
			return fmt.Errorf("the image: %w", err)
		}
		fmt.Printf("%s: what the image is built from\n", filepath.Join(o.out, "image"))
	}
	return sums(o, names)
}

// releaseFor makes what there is for one system, and returns the files' names.
func releaseFor(ctx context.Context, o options, t target, made string) ([]string, error) {
	dir := filepath.Join(made, t.os+"-"+t.arch)
	if err := prepare(ctx, o, t, dir); err != nil {
		return nil, err
	}
	name := "veer-" + o.version + "-" + t.os + "-" + t.arch
	var names []string
	for _, f := range []struct{ kind, from, to string }{{"binary", "veer", name}, {"sbom", "sbom.cdx.json", name + ".cdx.json"}} {
		if !o.makes(f.kind) {
			continue
		}
		if err := copyFile(filepath.Join(dir, f.from), filepath.Join(o.out, f.to)); err != nil {
			return nil, err
		}
		names = append(names, f.to)
	}
	if o.makes("archive") {
		if err := archive(o, dir, name); err != nil {
			return nil, fmt.Errorf("the archive: %w", err)
		}
		names = append(names, name+".tar.gz")
	}
	for _, format := range []string{"deb", "rpm"} {
		if t.os != "linux" || !o.makes(format) {
			continue
		}
		file, err := pack(o, t, format, dir)
		if err != nil {
			return nil, fmt.Errorf("the %s: %w", format, err)
		}
		names = append(names, file)
	}
	return names, nil
}

// prepare builds for one system, into a folder, what packages and archives hold.
func prepare(ctx context.Context, o options, t target, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- for everybody
		return err
	}
	binary := filepath.Join(dir, "veer")
	if err := build(ctx, o, t, binary); err != nil {
		return err
	}
	runs := binary
	if t != host {
		runs = filepath.Join(filepath.Dir(dir), "veer-here")
		if _, err := os.Stat(runs); err != nil {
			if err := build(ctx, o, host, runs); err != nil {
				return err
			}
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := exec.CommandContext(ctx, runs, "completion", shell).Output() // #nosec G204 -- it was just built
		if err != nil {
			return fmt.Errorf("veer completion %s: %w", shell, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "completion."+shell), out, 0o644); err != nil { // #nosec G306 -- for everybody
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, runs, "init", "--force", "-c", filepath.Join(dir, "veer.yaml")).CombinedOutput(); err != nil { // #nosec G204 -- it was just built
		return fmt.Errorf("veer init: %w: %s", err, out)
	}
	mods, err := modules(ctx, o, binary)
	if err != nil {
		return fmt.Errorf("the modules of the binary: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "THIRD-PARTY.txt"), notices(mods), 0o644); err != nil { // #nosec G306 -- for everybody
		return err
	}
	return writeSBOM(o, t, binary, mods, filepath.Join(dir, "sbom.cdx.json"))
}

// settings of the environment that change a binary, as they are for everybody.
var settings = []string{"CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOWORK=off"}

// build makes the binary.
func build(ctx context.Context, o options, t target, to string) error {
	cmd := exec.CommandContext(ctx, o.goTool, "build", "-buildvcs=false", "-trimpath", "-ldflags", o.ldflags, "-o", to, "./cmd/veer") // #nosec G204 -- the go command
	cmd.Dir = o.root
	cmd.Env = append(append(os.Environ(), settings...), "GOOS="+t.os, "GOARCH="+t.arch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	return nil
}

// sums writes SHA256SUMS as sha256sum reads it, and prints what was made.
func sums(o options, names []string) error {
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		sum, size, err := hash(filepath.Join(o.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
		fmt.Printf("%s  %5.1f MB  %s\n", sum, float64(size)/1e6, filepath.Join(o.out, name))
	}
	return os.WriteFile(filepath.Join(o.out, "SHA256SUMS"), []byte(text.String()), 0o644) // #nosec G306 -- for everybody
}

// hash is the SHA-256 of a file, and its size.
func hash(path string) (sum string, size int64, err error) {
	f, err := os.Open(path) // #nosec G304 -- it was just made
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// copyFile copies a file with its mode.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from) // #nosec G304 -- it was just made
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { // #nosec G301 -- for everybody
		return err
	}
	if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm()) // also of one that was there
}
