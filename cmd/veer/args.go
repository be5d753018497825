package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// args checks the number of arguments by their names; those in brackets may be
// left out and come last.
func (a *app) args(names ...string) cobra.PositionalArgs {
	least := 0
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
	}
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("%q is one argument too many: expected %s", args[len(names)], strings.Join(names, " "))
		}
		return nil
	}
}

// subcommand refuses the arguments of a command that only has subcommands.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var all []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, c.Name())
		}
	}
	return unknown("command", args[0], all)
}
