package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/veer/api"
)

// handOver gives the data folder to the user, with what a Veer that ran as root
// left in it. The folder may be another user's already, who may be hostile: no
// link is followed, and each folder is held open while it is walked. A folder
// that holds what no Veer made is not given away: it may be anybody's.
func handOver(dir string, to account) error {
	folder, err := os.OpenFile(dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("host.user: open host.data_dir: %w", err)
	}
	defer folder.Close() //nolint:errcheck // it is only read
	entries, err := folder.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("host.user: read host.data_dir: %w", err)
	}
	for _, e := range entries {
		if !ours(e.Name()) {
			return fmt.Errorf("host.user: %s holds %q, which is not Veer's, and so is not given to the user %s: give Veer a folder of its own by host.data_dir", dir, e.Name(), to.name)
		}
	}
	for _, e := range entries {
		if e.Name() == lostFound {
			continue
		}
		if err := handOverAt(folder, e.Name(), to, filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if err := chownAt(folder, ".", to); err != nil {
		return fmt.Errorf("host.user: give %s to %s: %w", dir, to.name, err)
	}
	return nil
}

// lostFound is fsck's, where the folder is a file system of its own.
const lostFound = "lost+found"

// ours reports whether Veer makes an entry of this name in its data folder.
func ours(name string) bool {
	known := []string{lockName, api.SocketName, localName, takeoverName, syslogName, "authority", lostFound}
	made := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return slices.Contains(known, name) || slices.ContainsFunc([]string{"etcd", ".s", ".room", localName, takeoverName, syslogName}, made)
}

// handOverAt gives one entry of a folder away, with all below it.
func handOverAt(folder *os.File, name string, to account, path string) error {
	bad := func(err error) error {
		return fmt.Errorf("host.user: give %s to %s: %w", path, to.name, err)
	}
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		below := os.NewFile(uintptr(fd), path)
		defer below.Close() //nolint:errcheck // it is only read
		entries, err := below.ReadDir(-1)
		if err != nil {
			return bad(err)
		}
		for _, e := range entries {
			if err := handOverAt(below, e.Name(), to, filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	case !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP): // any other file, and a link
		return bad(err)
	}
	if err := chownAt(folder, name, to); err != nil {
		return bad(err)
	}
	return nil
}
