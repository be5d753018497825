package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// build is what this binary was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Date     string `json:"date"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	return build{version, commit, date, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which Veer this is",
		Long:    "Version prints what this binary was built from.\n\n-o json prints {version, commit, date, go, platform}.",
		Example: "  veer version\n  veer version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			return a.print(b, func(w io.Writer) {
				fmt.Fprintf(w, "veer %s (commit %s of %s, %s, %s)\n", b.Version, b.Commit, b.Date, b.Go, b.Platform)
			})
		},
	}
}
