package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the formats that nfpm.Get knows
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// pack makes a package of what is in made, and returns its file's name.
func pack(o options, t target, format, made string) (name string, err error) {
	version, err := packageVersion(o.version, o.date)
	if err != nil {
		return "", err
	}
	vars := map[string]string{"ROOT": o.root, "MADE": made, "ARCH": t.arch, "VERSION": version}
	text, err := os.ReadFile(filepath.Join(o.root, "cmd/veer/packaging/nfpm.yaml")) // #nosec G304 -- of the repository
	if err != nil {
		return "", err
	}
	// nfpm itself expands only some of the values.
	config, err := nfpm.Parse(strings.NewReader(os.Expand(string(text), func(key string) string { return vars[key] })))
	if err != nil {
		return "", fmt.Errorf("nfpm.yaml: %w", err)
	}
	info, err := config.Get(format)
	if err != nil {
		return "", err
	}
	info = nfpm.WithDefaults(info)
	info.MTime = o.date
	for _, c := range info.Contents { // not of the checkout's files
		if c.FileInfo != nil {
			c.FileInfo.MTime = o.date
		}
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", err
	}
	name = packager.ConventionalFileName(info)
	var whole bytes.Buffer
	if err := packager.Package(info, &whole); err != nil {
		return "", err
	}
	return name, os.WriteFile(filepath.Join(o.out, name), whole.Bytes(), 0o644) // #nosec G306 -- for everybody
}
