package main

import (
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Look at the config as it is understood",
		Long:    "Config holds commands about the config file.",
		Example: "  veer config show --defaults",
		Args:    subcommand,
		RunE: func(*cobra.Command, []string) error {
			return usagef("a command is missing: veer config show or schema")
		},
	}
	var defaults bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the effective config",
		Long: `Show prints the config as Veer understands it, in a form that it reads back: the
file, host.yaml beside it, and what the environment and the flags override. With
--defaults it also names every key that has its default. It prints the paths of
secrets, never a secret.

-o json prints the same keys; durations are then texts like "5s".`,
		Example: "  veer config show\n  veer config show --defaults",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			text := c.YAML(defaults)
			if a.output != "json" {
				_, err := a.out.Write(text)
				return err
			}
			return writeYAMLAsJSON(a, text)
		},
	}
	show.Flags().BoolVar(&defaults, "defaults", false, "name the keys that have their default, too")
	cmd.AddCommand(show, a.schemaCommand())
	return cmd
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of veer.yaml",
		Long: `Schema prints the JSON Schema (draft 2020-12) of veer.yaml. Editors show by it
what keys there are, what they mean, and where one is misspelt, misplaced or has
a value of another type. With the YAML language server, a first line

  # yaml-language-server: $schema=veer.schema.json

in veer.yaml names it. It refuses nothing that Veer takes; veer validate finds
what a schema cannot. Of host.yaml it is the part #/$defs/host.

-o json prints the same.`,
		Example: "  veer config schema > veer.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(config.Schema())
			return err
		},
	}
}

func writeYAMLAsJSON(a *app, text []byte) error {
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return fmt.Errorf("reading the effective config back: %w", err)
	}
	return a.print(tree, func(io.Writer) {})
}
