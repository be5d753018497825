package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/config"
)

func (a *app) initCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a starter config",
		Long: `Init writes a commented veer.yaml, and the zone file that it names, into this
folder (or to the path of --config). It overwrites nothing without --force.

-o json prints {files, next}.`,
		Example: "  veer init\n  veer init -c /etc/veer/veer.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path := a.config
			if path == "" {
				path = config.StarterFile
			}
			files := []starter{
				{path, config.Starter()},
				{filepath.Join(filepath.Dir(path), config.StarterZoneFile), config.StarterZone()},
			}
			if err := writeStarter(files, force); err != nil {
				return err
			}
			done := started{Next: nextSteps(path, a.config != "")}
			for _, f := range files {
				done.Files = append(done.Files, f.path)
			}
			return a.print(done, func(w io.Writer) { writeStarted(w, done) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the files that exist")
	return cmd
}

// started is what was written and what to do next.
type started struct {
	Files []string `json:"files"`
	Next  []string `json:"next"`
}

type starter struct{ path, text string }

// writeStarter writes all files or, when one exists, none.
func writeStarter(files []starter, force bool) error {
	for _, f := range files {
		_, err := os.Lstat(f.path)
		switch {
		case force || errors.Is(err, fs.ErrNotExist):
		case err == nil:
			return &exitError{code: exitRefused, err: fmt.Errorf("%s exists already", f.path), hint: "Add --force to overwrite it."}
		default:
			return fmt.Errorf("looking for %s: %w", f.path, err)
		}
	}
	for _, f := range files {
		if err := os.WriteFile(f.path, []byte(f.text), 0o644); err != nil {
			return fmt.Errorf("writing a starter file: %w", err)
		}
	}
	return nil
}

func nextSteps(path string, given bool) []string {
	flag := ""
	if given {
		flag = " -c " + path
	}
	return []string{
		"edit " + path + ": your regions, endpoints and zone",
		"veer validate" + flag,
		"veer run" + flag,
		"veer query app.example.test" + flag,
	}
}

func writeStarted(w io.Writer, s started) {
	for _, f := range s.Files {
		fmt.Fprintf(w, "wrote %s\n", f)
	}
	fmt.Fprintln(w, "\nNext:")
	for i, step := range s.Next {
		fmt.Fprintf(w, "  %d. %s\n", i+1, step)
	}
}
