package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// module is a module of Go's that is in the binary; Go's own library is one.
type module struct {
	path, version string
	sum           string // as in go.sum, empty of Go's own
	texts         []licence
	ids           []string // of the licences, as SPDX has them
}

type licence struct{ file, text string }

// modules are those that the binary says are in it, in the order of their
// paths, each with its licence.
func modules(ctx context.Context, o options, binary string) ([]module, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	args := []string{"list", "-m", "-f", "{{.Path}} {{.Dir}}"}
	for _, d := range info.Deps {
		args = append(args, d.Path)
	}
	list, err := output(ctx, o, args...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		dirs[path] = dir
	}
	goroot, err := output(ctx, o, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	const std = "std"
	dirs[std] = strings.TrimSpace(goroot)
	mods := []module{{path: std, version: strings.TrimPrefix(info.GoVersion, "go")}}
	for _, d := range info.Deps {
		m := module{path: d.Path, version: d.Version, sum: d.Sum}
		if r := d.Replace; r != nil {
			return nil, fmt.Errorf("%s is replaced by %s: a release is built from what go.mod requires", d.Path, r.Path)
		}
		mods = append(mods, m)
	}
	for i := range mods {
		m := &mods[i]
		if m.texts, err = licences(dirs[m.path]); err != nil {
			return nil, fmt.Errorf("%s %s: %w", m.path, m.version, err)
		}
		if m.ids = spdx(m.texts); len(m.ids) == 0 {
			return nil, fmt.Errorf("%s %s: none of the licences of SPDX is in %s", m.path, m.version, dirs[m.path])
		}
	}
	slices.SortFunc(mods, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return mods, nil
}

func output(ctx context.Context, o options, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, o.goTool, args...) // #nosec G204 -- the go command
	cmd.Dir = o.root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return string(out), nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([.-].*)?$`)

// licences are the files at the top of a module that say on which terms it is
// used.
func licences(dir string) ([]licence, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []licence
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name())) // #nosec G304 -- of a module
		if err != nil {
			return nil, err
		}
		out = append(out, licence{e.Name(), string(text)})
	}
	return out, nil
}

// spdx names the licences that the texts are.
func spdx(texts []licence) []string {
	var ids []string
	for _, l := range texts {
		for _, m := range licensecheck.Scan([]byte(l.text)).Match {
			if !m.IsURL && !slices.Contains(ids, m.ID) {
				ids = append(ids, m.ID)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// notices is the text that goes with the binary: the licence of each module.
func notices(mods []module) []byte {
	var b bytes.Buffer
	b.WriteString("Veer's binary holds the following modules, each on the terms below its name.\n")
	for _, m := range mods {
		fmt.Fprintf(&b, "\n%s\n%s %s (%s)\n%[1]s\n", strings.Repeat("=", 78), m.path, m.version, strings.Join(m.ids, ", "))
		for _, l := range m.texts {
			fmt.Fprintf(&b, "\n--- %s\n\n%s\n", l.file, strings.TrimRight(l.text, "\n"))
		}
	}
	return b.Bytes()
}
