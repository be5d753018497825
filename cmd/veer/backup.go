package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup [FILE]",
		Short: "Write the ledger, the orders and the journal into one file",
		Long: `Backup writes what the regions have agreed on into FILE, by default
OWNER-TIME.veer-backup here: the ledger, the orders in force, the journal and
its notes. Votes are not in it, nor is any secret; addresses and names are.

It asks the daemon on the data_dir, which reads from the member beside it where
no majority of the members answers. Where no daemon runs it reads the data
folder, and changes nothing there. It exits with 4 when values could not be
read, which it names.

-o json prints {file, owner, term, made, version, agreed, shards, orders,
decisions, notes, left_out, unread}; agreed is false where no majority stands
behind it.`,
		Example: "  veer backup\n  veer backup /var/backups/veer.backup",
		Args:    a.args("[FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			return a.backup(cmd.Context(), path)
		},
	}
}

func (a *app) backup(ctx context.Context, path string) error {
	file, err := either(a, func(c daemonClient) ([]byte, error) { return c.Backup(ctx) },
		func(o daemon.OnceOptions) ([]byte, error) { return daemon.Backup(ctx, o) })
	if err != nil {
		return err
	}
	b, err := daemon.ReadBackup(file)
	if err != nil {
		return fmt.Errorf("reading the backup again, before it is kept: %w (are the daemon and this command the same version?)", err)
	}
	if path == "" {
		path = fmt.Sprintf("%s-%s.veer-backup", b.Owner, b.Made.UTC().Format("20060102T150405Z"))
	}
	if err := keep(path, file); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	b.File = path
	if err := a.print(b, func(w io.Writer) { writeBackup(w, b) }); err != nil {
		return err
	}
	if len(b.Unread) > 0 {
		return quiet(exitDegraded, "values could not be read")
	}
	return nil
}

func writeBackup(w io.Writer, b api.Backup) {
	para(w, "", fmt.Sprintf("%s: %s", clean(b.File), backupText(b)))
	if !b.Agreed {
		para(w, "  ", "no majority of the members stands behind it: the last writes may be missing")
	}
	if b.LeftOut > 0 {
		para(w, "  ", fmt.Sprintf("the %s had no room", count(b.LeftOut, "oldest decision")))
	}
	for _, key := range b.Unread {
		para(w, "  ", "could not be read, and is left out: "+clean(key))
	}
}

// backupText tells what a backup has.
func backupText(b api.Backup) string {
	return fmt.Sprintf("owner %s, made %s, term %d; %s of the ledger, %s, %s, %s",
		clean(b.Owner), b.Made.UTC().Format(time.RFC3339), b.Term,
		count(b.Shards, "shard"), count(b.Orders, "order"), count(b.Decisions, "decision"), count(b.Notes, "note"))
}

// keep writes a file for this user alone, all of it or nothing.
func keep(path string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".veer-backup") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// openBackup reads a backup's file.
func openBackup(path string) ([]byte, api.Backup, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, api.Backup{}, fmt.Errorf("reading the backup: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, api.Backup{}, errors.Join(fmt.Errorf("reading the backup: %s is not a regular file", path), err)
	}
	file, err := io.ReadAll(io.LimitReader(f, api.MaxBackup+1))
	if err != nil {
		return nil, api.Backup{}, fmt.Errorf("reading the backup: %w", err)
	}
	b, err := daemon.ReadBackup(file)
	if err != nil {
		return nil, b, fmt.Errorf("%s is not a file that veer backup wrote: %w", path, err)
	}
	b.File = path
	return file, b, nil
}

// restoring is what the flags of veer restore say.
type restoring struct {
	reason    string
	over, yes bool
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoring
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Bring back the ledger of a backup",
		Long: `Restore puts the ledger and the orders of a backup in the place of those that
are there, and adds its journal to the one that is there. It shows what the file
has, asks, and reads the fences of all written zones: the next leader's term is
above them, above the ledger that was there and above what is served. What the
zones and the servers answer stays as it is until votes or orders speak for
something else.

A ledger that exists, or is led, is replaced only with --over (exit code 3
without); who leads is then deposed. A file of another owner is refused. While
it goes on nobody leads; if it is broken off, nobody leads until a restore has
come to its end, so run it again.

It goes through the daemon on the data_dir. Where none runs it restores into the
data folder, or at cluster.endpoints; with several members it needs a daemon.

-o json prints {backup, term, unread}; unread are zones whose fence did not
answer.`,
		Example: "  veer restore shop-prod-20261120T120000Z.veer-backup --reason \"lost all disks\"",
		Args:    a.args("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.restore(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the journal and for colleagues (needed)")
	cmd.Flags().BoolVar(&o.over, "over", false, "replace a ledger that exists, and depose who leads")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) restore(ctx context.Context, path string, o restoring) error {
	if err := (order{ends: true, reason: o.reason}).check(); err != nil {
		return err
	}
	if !o.yes && !a.asks {
		return usagef("no terminal can answer the question: add --yes")
	}
	file, b, err := openBackup(path)
	if err != nil {
		return usage(err)
	}
	if !o.yes {
		para(a.err, "Restore ", backupText(b))
		if o.over {
			para(a.err, "  ", "the ledger and the orders that are there are replaced, and who leads is deposed")
		}
		if err := a.question(); err != nil {
			return err
		}
	}
	r := api.RestoreRequest{By: a.user, Why: strings.TrimSpace(o.reason), Over: o.over}
	done, err := either(a, func(c daemonClient) (api.Restored, error) { return c.Restore(ctx, file, r) },
		func(off daemon.OnceOptions) (api.Restored, error) { return daemon.Restore(ctx, off, file, r) })
	if err != nil {
		return err
	}
	done.Backup.File = path
	return a.print(done, func(w io.Writer) {
		para(w, "", fmt.Sprintf("restored %s; the next leader's term is above %d", backupText(done.Backup), done.Term))
		for _, zone := range done.Unread {
			para(w, "  ", clean(zone)+": its fence did not answer; it counts when the zone is claimed")
		}
	})
}
