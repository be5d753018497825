//go:build !linux

package daemon

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// become makes this process the user's for good.
func become(a account, _ bool) error {
	if err := syscall.Setgroups(a.groups); err != nil {
		return fmt.Errorf("set the groups: %w", err)
	}
	if err := syscall.Setgid(a.gid); err != nil {
		return fmt.Errorf("set the group: %w", err)
	}
	if err := syscall.Setuid(a.uid); err != nil {
		return fmt.Errorf("set the user: %w", err)
	}
	if syscall.Setuid(0) == nil {
		return errors.New("the privileges of root could be had back, so that they were not given up")
	}
	return nil
}

// mayPing is true: there are no capabilities to keep.
func mayPing(account) bool { return true }

// chownAt gives what an entry of the folder is to the user, without following
// it; a file with a second name, which may be anybody's, is refused.
func chownAt(folder *os.File, name string, a account) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(folder.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR && stat.Nlink > 1 {
		return fmt.Errorf("it has %d names, and may be a file of others", stat.Nlink)
	}
	return unix.Fchownat(int(folder.Fd()), name, a.uid, a.gid, unix.AT_SYMLINK_NOFOLLOW)
}
