package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions/controller"
)

// owning is what the flags of veer import and veer release say.
type owning struct {
	request controller.Request
	yes     bool
	force   bool
}

func (a *app) importCommand() *cobra.Command {
	var o owning
	cmd := &cobra.Command{
		Use:   "import NAME...",
		Short: "Take over names whose records exist already",
		Long: `Import shows the records that exist at each NAME in every written zone, and what
would become of them, asks, and then takes the name: the leader marks it as
owned, and writes its answer over the records, as for every name that it owns. A
name that another Veer owns is refused.
` + applyHelp,
		Example: "  veer import app.example.com --reason \"moves to Veer\"",
		Args:    someNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.request.Take = args
			return a.own(cmd.Context(), o, args)
		},
	}
	writeFlags(cmd, &o.request, &o.yes)
	return cmd
}

func (a *app) releaseCommand() *cobra.Command {
	var o owning
	cmd := &cobra.Command{
		Use:   "release NAME...",
		Short: "Give names up, and leave their records",
		Long: `Release takes away the mark by which Veer owns each NAME, in every written zone.
The records stay as they are. While the config still has a service of the name,
its records would then be refused as another's at every write; so take it out of
the config first, or say --force.
` + applyHelp,
		Example: "  veer release app.example.com --reason \"moves to another tool\"",
		Args:    someNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.request.Release = args
			return a.own(cmd.Context(), o, args)
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "also names that the config has a service of")
	writeFlags(cmd, &o.request, &o.yes)
	return cmd
}

func someNames(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("NAME is missing")
	}
	return nil
}

// own shows how the names stand, asks, and takes or releases them.
func (a *app) own(ctx context.Context, o owning, list []string) error {
	if err := a.mayAsk(&o.request, o.yes); err != nil {
		return err
	}
	all, err := either(a, func(c daemonClient) ([]api.Standing, error) { return c.Standing(ctx, list) },
		func(off daemon.OnceOptions) ([]api.Standing, error) { return daemon.Standing(ctx, off, list) })
	if err != nil {
		return err
	}
	if err := o.refusal(all, list); err != nil {
		return err
	}
	if !o.yes {
		for _, s := range all {
			writeStanding(a.err, s, len(o.request.Take) > 0)
		}
		if err := a.question(); err != nil {
			return err
		}
	}
	return a.write(ctx, o.request)
}

// refusal is why names will not be taken or released.
func (o owning) refusal(all []api.Standing, list []string) error {
	take := len(o.request.Take) > 0
	refuse := func(hint, format string, args ...any) error {
		return &exitError{code: exitRefused, err: fmt.Errorf(format, args...), hint: hint}
	}
	for _, name := range list {
		here := slices.DeleteFunc(slices.Clone(all), func(s api.Standing) bool { return !sameName(s.Name, name) })
		if len(here) == 0 {
			return usagef("%s is in no zone that is written to", name)
		}
		if served := slices.ContainsFunc(here, func(s api.Standing) bool { return s.Service }); take && !served {
			return refuse("Add the service to the config first.", "the config has no service %s, so nothing would write it", shown(name))
		}
		if owned := slices.ContainsFunc(here, func(s api.Standing) bool { return s.Owned }); !take && !owned {
			return refuse("", "%s is not owned, so it cannot be released", shown(name))
		}
	}
	for _, s := range all {
		switch {
		case s.Error != "":
			return fmt.Errorf("%s %s: %s", s.Provider, shown(s.Zone), s.Error)
		case take && s.Owner != "":
			return refuse("Run veer release there first.", "%s in %s of %s belongs to %s", shown(s.Name), shown(s.Zone), s.Provider, s.Owner)
		case !take && s.Owned && s.Service && !o.force:
			return refuse("Take it out of the config first, or add --force.",
				"the config has a service %s: once released, its records would be refused as another's at every write", shown(s.Name))
		}
	}
	return nil
}

func sameName(a, b string) bool { return sameAddress(a, b) || shown(a) == shown(b) }

func writeStanding(w io.Writer, s api.Standing, take bool) {
	fmt.Fprintf(w, "%s in %s of %s\n", shown(s.Name), shown(s.Zone), clean(s.Provider))
	if len(s.Records) == 0 {
		fmt.Fprintln(w, "  has no records")
	}
	for _, set := range s.Records {
		para(w, "  has ", setText(set))
	}
	switch {
	case s.Owned && take:
		fmt.Fprintln(w, "  is owned already")
	case !take:
		fmt.Fprintln(w, "  is given up; its records stay")
	case !s.Service:
		para(w, "  ", "is left alone: the service is not written here")
	case len(s.Wanted) == 0:
		para(w, "  ", "is taken; its answer is not decided yet, so its records stay until it is")
	}
	if take && s.Service {
		for _, set := range s.Wanted {
			para(w, "  becomes ", setText(set))
		}
	}
}
