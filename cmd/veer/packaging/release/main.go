// Command release builds what a release of Veer is made of into one folder:
// static binaries, packages, and what goes with them. The same commit gives the
// same bytes, wherever and whenever it is built.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options are what a release is made from.
type options struct {
	root    string // the repository
	out     string
	goTool  string
	version string // as git describe prints it
	ldflags string
	date    time.Time // of the commit; everything bears it
	targets []target
	kinds   []string
}

func (o options) makes(kind string) bool { return slices.Contains(o.kinds, kind) }

// target is a system that a binary is built for.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "/" + t.arch }

var (
	allTargets = []target{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}
	allKinds   = []string{"binary", "archive", "sbom", "deb", "rpm", "image"}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = release(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	var date, targets, kinds string
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	f.StringVar(&o.root, "root", "../../..", "the repository")
	f.StringVar(&o.out, "out", "../../../dist", "where to put what is made")
	f.StringVar(&o.goTool, "go", "go", "the go command")
	f.StringVar(&o.version, "version", "", "the version, as git describe prints it")
	f.StringVar(&o.ldflags, "ldflags", "", "the linker's flags")
	f.StringVar(&date, "date", "", "when the commit was made, as in 2006-01-02T15:04:05Z")
	f.StringVar(&targets, "targets", join(allTargets), "systems to build for, separated by commas")
	f.StringVar(&kinds, "kinds", strings.Join(allKinds, ","), "what to make, separated by commas")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q: expected flags alone", f.Args())
	}
	var err error
	if o.date, err = time.Parse(time.RFC3339, date); err != nil {
		return o, fmt.Errorf("-date %q: expected the time of a commit, as in 2006-01-02T15:04:05Z", date)
	}
	o.date = o.date.UTC()
	if o.version == "" {
		return o, errors.New("-version is missing: expected what git describe prints")
	}
	for name := range strings.SplitSeq(targets, ",") {
		i := slices.IndexFunc(allTargets, func(t target) bool { return t.String() == name })
		if i < 0 {
			return o, fmt.Errorf("-targets: %q is none of %s", name, join(allTargets))
		}
		o.targets = append(o.targets, allTargets[i])
	}
	for name := range strings.SplitSeq(kinds, ",") {
		if !slices.Contains(allKinds, name) {
			return o, fmt.Errorf("-kinds: %q is none of %s", name, strings.Join(allKinds, ","))
		}
		o.kinds = append(o.kinds, name)
	}
	for _, dir := range []*string{&o.root, &o.out} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return o, err
		}
	}
	return o, nil
}

func join(targets []target) string {
	var names []string
	for _, t := range targets {
		names = append(names, t.String())
	}
	return strings.Join(names, ",")
}
