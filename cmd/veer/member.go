package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
)

func (a *app) memberCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "Look at the etcd members of the cluster, and change them",
		Long: `Member lists, adds and removes the etcd members that keep the ledger. It works
from any region's daemon whose etcd has a quorum. docs/cluster.md tells how to
set up, grow, shrink and replace members.`,
		Example: "  veer member list\n  veer member add us-east\n  veer member remove us-east",
		Args:    subcommand,
		RunE: func(*cobra.Command, []string) error {
			return usagef("a command is missing: veer member list, add or remove")
		},
	}
	cmd.AddCommand(a.memberListCommand(), a.memberAddCommand(), a.memberRemoveCommand())
	return cmd
}

func (a *app) memberListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the members, and how each is",
		Long: `List shows each member: its id, whether it leads, votes or only learns yet, its
version, the size of its database and how many entries of the log it lags. It
exits with 4 when a member cannot be reached, learns, or there is no quorum.

-o json prints {members: [{name, id, peer, client, learner, leader, reachable,
why, version, db_bytes, raft_lag, rtt}], agreed}.`,
		Example: "  veer member list\n  veer member list -o json | jq -r '.members[] | select(.leader).name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.daemon()
			if err != nil {
				return err
			}
			list, err := client.Members(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.print(list, func(w io.Writer) { writeMembers(w, list, paint{a.plain}) }); err != nil {
				return err
			}
			for _, m := range list.Members {
				if !m.Reachable || m.Learner {
					return quiet(exitDegraded, "a member is not as it should be")
				}
			}
			if !list.Agreed {
				return quiet(exitDegraded, "there is no quorum")
			}
			return nil
		},
	}
}

func writeMembers(w io.Writer, list api.Members, p paint) {
	t := table{limits: []int{20, 16, 8, 8, 9, 5, 0}}
	t.add("MEMBER", "ID", "STATE", "VERSION", "DB", "LAG", "PEER")
	t.mark = func(row, column int, cell string) string {
		switch {
		case row == 0:
			return p.bold(cell)
		case column == 2 && list.Members[row-1].Reachable:
			return p.good(cell)
		case column == 2:
			return p.bad(cell)
		}
		return cell
	}
	t.below = func(w io.Writer, row int) {
		if row > 0 && list.Members[row-1].Why != "" {
			para(w, "  ", list.Members[row-1].Why)
		}
	}
	for _, m := range list.Members {
		peer := m.Peer
		if peer == "" {
			peer = "none"
		}
		t.add(named(m.Name), m.ID, memberState(m), m.Version, fmt.Sprintf("%d KiB", (m.Bytes+1023)/1024), fmt.Sprint(m.Lag), peer)
	}
	t.write(w, "")
	if !list.Agreed {
		para(w, "", "There is no quorum: this is what one member last knew, and nothing can be changed.")
	}
}

func named(name string) string {
	if name == "" {
		return "(unknown)"
	}
	return name
}

func memberState(m api.Member) string {
	switch {
	case !m.Reachable:
		return "AWAY"
	case m.Leader:
		return "leader"
	case m.Learner:
		return "learner"
	}
	return "voter"
}

func (a *app) memberAddCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make room for a member of cluster.members",
		Long: `Add makes NAME, which cluster.members lists, a learner of the cluster. The veer
there, with an empty data folder, starts as that, follows until it has caught
up, and then votes. A member with an empty folder also adds itself, so that this
is needed only to try it beforehand.

-o json prints {name, changed, next}.`,
		Example: "  veer member add us-east",
		Args:    a.args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeMember(cmd.Context(), api.MemberRequest{Act: api.MemberAdd, Name: args[0], Why: strings.TrimSpace(reason)})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal and for colleagues")
	return cmd
}

func (a *app) memberRemoveCommand() *cobra.Command {
	var reason string
	var force, yes bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a member for good",
		Long: `Remove takes a member out of the cluster, by its name or id: one that is lost
for good, or one of three before the config lists only one. Its data folder is
of no more use. It asks; --yes skips the question.

It is refused with exit code 3 when those that are left and answer would be too
few for a quorum, unless it is forced, with a reason. The last member that votes
is never removed.

-o json prints {name, changed, next}.`,
		Example: "  veer member remove us-east\n  veer member remove us-east --force --reason 'its disk is gone' --yes",
		Args:    a.args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := api.MemberRequest{Act: api.MemberRemove, Name: args[0], Why: strings.TrimSpace(reason), Force: force}
			if force && r.Why == "" {
				return usagef("--reason is needed with --force: say why, for the journal and for colleagues")
			}
			if !yes && !a.asks {
				return usagef("no terminal can answer the question: add --yes")
			}
			if !yes {
				fmt.Fprintf(a.err, "Remove member %s from the cluster for good.\n", r.Name)
				if err := a.question(); err != nil {
					return err
				}
			}
			return a.changeMember(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&reason, "reason", "", "why, for the journal and for colleagues (needed with --force)")
	f.BoolVar(&force, "force", false, "remove it although too few would be left for a quorum")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) changeMember(ctx context.Context, r api.MemberRequest) error {
	client, err := a.daemon()
	if err != nil {
		return err
	}
	r.By = a.user
	done, err := client.ChangeMember(ctx, r)
	if err != nil {
		return err
	}
	return a.print(done, func(w io.Writer) {
		what := map[string]string{api.MemberAdd: "added", api.MemberRemove: "removed"}[r.Act]
		if !done.Changed {
			what = "unchanged"
		}
		para(w, "", fmt.Sprintf("Member %s: %s. Next: %s.", done.Name, what, done.Next))
	})
}
