package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
)

// This file is of a start on a data folder that takes no writes, as on a disk
// that the kernel made read-only: what an authority's snapshot holds is served
// all the same. No etcd member can run on such a folder. A process with others to
// be a client of goes on as that; one without serves what it has, and nothing
// moves. Either is started anew as soon as the folder takes writes.

// sealedEvery is how often a folder that takes no writes is tried.
const sealedEvery = 2 * time.Second

// refuses reports whether an error is what a disk or a folder says that takes no
// writes.
func refuses(err error) bool {
	for _, one := range []error{unix.EROFS, unix.EACCES, unix.EPERM, unix.ENOSPC, unix.EDQUOT, unix.EIO} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// takesWrites tries what a start needs of the data folder.
func takesWrites(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("try the data folder: %w", err)
	}
	return room(dir, 0)
}

// holdFolder locks the data folder, and finds out whether it takes writes. Where
// it takes none, and there is nobody to serve answers, that is an error at once.
func (d *daemon) holdFolder() (*os.File, error) {
	dir := d.c.Host.DataDir
	lock, err := lockFolder(dir)
	if err == nil {
		err = takesWrites(dir)
	}
	if err == nil || !refuses(err) {
		return lock, err
	}
	serves := d.roles[RoleAuthority] && slices.ContainsFunc(d.config().Providers, func(p config.Provider) bool { return p.Authority != nil })
	if !serves {
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
		return nil, err
	}
	if lock == nil {
		var locked error
		if lock, locked = lockSealed(dir); locked != nil {
			return nil, errors.Join(err, locked)
		}
	}
	d.sealed = err
	d.o.Log.Error().Err(err).Str("data_dir", dir).
		Msg("the data folder takes no writes: its last answers are served, nothing new is kept, and no etcd member runs here, until it does")
	return lock, nil
}

// lockSealed locks a folder whose lock can't be opened to write.
func lockSealed(dir string) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir, lockName)) // #nosec G304 -- the data folder is the operator's
	if err != nil {
		return nil, fmt.Errorf("opening the data folder's lock to read: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

// awaitWrites waits until the data folder takes writes, and returns an
// ErrRestart then; nil when ctx ends, and what failed receives, if anything.
func (d *daemon) awaitWrites(ctx context.Context, failed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-time.After(sealedEvery):
		}
		if takesWrites(d.c.Host.DataDir) == nil {
			return fmt.Errorf("%w: the data folder takes writes again; it did not: %w", ErrRestart, d.sealed)
		}
	}
}

// startSealed begins to wait for the data folder, where it takes no writes.
// alone reports that no cluster can be had until then: it returns when that wait
// is over.
func (d *daemon) startSealed(ctx context.Context) (alone bool, err error) {
	if d.sealed == nil {
		return false, nil
	}
	if len(d.c.Cluster.Endpoints) > 0 || d.isClient() {
		d.parts.start("data folder", func(ctx context.Context) error { return d.awaitWrites(ctx, nil) })
		return false, nil
	}
	d.scene.lost(fmt.Errorf("no etcd member can run here: %w", d.sealed))
	if err = d.awaitWrites(ctx, d.parts.failed); err == nil {
		err = ctx.Err()
	}
	return true, err
}

// listen makes the API's socket: in the data folder, or beside one that takes no
// writes. There, answers go on without it: nil.
func (d *daemon) listen() (net.Listener, error) {
	if d.sealed == nil {
		return listenAPI(d.c.Host.DataDir)
	}
	l, err := d.listenSealed()
	if err != nil {
		d.o.Log.Error().Err(err).Msg("no command reaches this process; answers are served on")
		return nil, nil //nolint:nilerr // it was told
	}
	return l, nil
}

// listenSealed makes the API's socket beside a data folder that takes none.
func (d *daemon) listenSealed() (net.Listener, error) {
	path, err := filepath.Abs(filepath.Join(d.c.Host.DataDir, api.SocketName))
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	path = api.Beside(path, os.Geteuid())
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("making a folder for the API's socket: %w", err)
	}
	if !api.Private(filepath.Dir(path), os.Geteuid()) {
		return nil, fmt.Errorf("making the API's socket: %s is another user's, or open to others: remove it", filepath.Dir(path))
	}
	return listenAt(path)
}

// sealedWarning is what the status says of such a folder; "": it takes writes.
func (d *daemon) sealedWarning() string {
	if d.sealed == nil {
		return ""
	}
	return fmt.Sprintf("the data folder %s takes no writes (%v): what is answered now is not kept, and a restart serves what its snapshot has; veer starts anew by itself when it takes writes", d.c.Host.DataDir, d.sealed)
}
