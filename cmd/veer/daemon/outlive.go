package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/veerdns/veer/regions/cluster"
)

// ErrRestart means that the process must be started anew, at once.
var ErrRestart = errors.New("veer must be started anew")

const (
	// roomEvery is how often the data folder is tried after etcd gave up.
	roomEvery = 15 * time.Second
	// moveEvery is how often it is looked whether etcd's folder was moved away.
	moveEvery = 2 * time.Second
	// roomBytes must then fit in it: what etcd writes ahead before it cuts.
	roomBytes = 64 << 20
)

// outlive goes on serving without the embedded etcd, which gave up, until the
// data folder takes writes again; at once, with why, where no authority serves.
// Where etcd's folder itself is of no use any more, it waits in any case until
// somebody has moved it away. It returns an ErrRestart then, and nil when ctx
// ends. A member that was removed is started anew at once, where it has others
// to be a client of.
func (d *daemon) outlive(ctx context.Context, why error) error {
	if errors.Is(why, cluster.ErrRemoved) && d.removed() {
		return fmt.Errorf("%w, as a client of the other members: %w", ErrRestart, why)
	}
	useless := errors.Is(why, cluster.ErrSpoilt) || errors.Is(why, cluster.ErrRemoved)
	if !d.roles[RoleAuthority] && !useless {
		return why
	}
	d.cluster.Store(nil)
	d.scene.lost(why)
	if useless {
		return d.awaitMove(ctx, why)
	}
	for {
		d.o.Log.Error().Err(why).Str("data_dir", d.c.Host.DataDir).
			Msg("etcd gave up; answers stay as they are, and nothing moves until the data folder takes writes again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(roomEvery):
		}
		err := room(d.c.Host.DataDir, roomBytes)
		if err == nil {
			return fmt.Errorf("%w: %w", ErrRestart, why)
		}
		d.scene.lost(fmt.Errorf("%w (now: %w)", why, err))
	}
}

// awaitMove waits until etcd's folder was moved away: a new start with it would
// fail as the last one did.
func (d *daemon) awaitMove(ctx context.Context, why error) error {
	d.o.Log.Error().Err(why).Msg("answers stay as they are; etcd is started again when its folder was moved away")
	if !d.moved(ctx) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrRestart, why)
}

// moved waits until etcd's folder was moved away; false: ctx ended before.
func (d *daemon) moved(ctx context.Context) bool {
	member := filepath.Join(d.c.Host.DataDir, "etcd", "member")
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(moveEvery):
		}
		if _, err := os.Stat(member); errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
}

// removed reports whether this host's member was removed from the cluster and
// others are left that this process can be a client of.
func (d *daemon) removed() bool {
	name := string(d.c.Host.Region)
	if _, listed := d.c.Cluster.Members[name]; !listed || !d.keeps || !d.c.Cluster.Others(name) {
		return false
	}
	was, err := cluster.Removed(d.c.Host.DataDir)
	return err == nil && was // what cannot be read now, cluster.Start says
}

// goOnRemoved lets a process whose member was removed be a client of the
// others until etcd's folder was moved away: it then joins again.
func (d *daemon) goOnRemoved(ctx context.Context) error {
	why := d.removedWarning()
	d.o.Log.Warn().Msg(why)
	if !d.moved(ctx) {
		return nil
	}
	return fmt.Errorf("%w: etcd's folder was moved away, and this member joins again", ErrRestart)
}

func (d *daemon) removedWarning() string {
	return fmt.Sprintf("%v: this process goes on as a client of the others; to let it in again, move %s away; to leave it so, take this region out of cluster.members",
		cluster.ErrRemoved, filepath.Join(d.c.Host.DataDir, "etcd"))
}

// room reports whether n bytes can be written in the folder.
func room(dir string, n int) (err error) {
	f, err := os.CreateTemp(dir, ".room")
	if err != nil {
		return fmt.Errorf("try the data folder: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	part := make([]byte, 1<<20)
	for range n / len(part) {
		if _, err := f.Write(part); err != nil {
			return fmt.Errorf("try the data folder: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("try the data folder: %w", err)
	}
	return nil
}
