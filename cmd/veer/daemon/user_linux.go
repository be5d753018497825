package daemon

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// become makes this process, all of its threads, the user's for good, without
// any capability but CAP_NET_RAW if raw says so.
func become(a account, raw bool) error {
	if raw {
		if err := onEveryThread(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0); err != nil {
			return fmt.Errorf("keep capabilities: %w", err)
		}
	}
	if err := syscall.Setgroups(a.groups); err != nil {
		return fmt.Errorf("set the groups: %w", err)
	}
	if err := syscall.Setresgid(a.gid, a.gid, a.gid); err != nil {
		return fmt.Errorf("set the group: %w", err)
	}
	if err := syscall.Setresuid(a.uid, a.uid, a.uid); err != nil {
		return fmt.Errorf("set the user: %w", err)
	}
	if raw {
		if err := keepOnly(unix.CAP_NET_RAW); err != nil {
			return err
		}
	}
	if syscall.Setresuid(0, 0, 0) == nil {
		return errors.New("the privileges of root could be had back, so that they were not given up")
	}
	return nil
}

// onEveryThread makes a system call that is about one thread on all of them;
// later ones inherit what it sets.
func onEveryThread(call, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// keepOnly leaves one capability, permitted and in force.
func keepOnly(capability uint) error {
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{{Effective: 1 << capability, Permitted: 1 << capability}}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(head)), uintptr(unsafe.Pointer(data)), 0)
	if errno != 0 {
		return fmt.Errorf("give up all capabilities but one: %w", errno)
	}
	return onEveryThread(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 0, 0)
}

// mayPing reports whether the user may have ICMP sockets without a capability.
func mayPing(a account) bool {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ping_group_range")
	words := strings.Fields(string(text))
	if err != nil || len(words) != 2 {
		return false
	}
	low, err1 := strconv.ParseUint(words[0], 10, 32)
	high, err2 := strconv.ParseUint(words[1], 10, 32)
	in := func(gid int) bool { return uint64(gid) >= low && uint64(gid) <= high } // #nosec G115 -- an id
	return err1 == nil && err2 == nil && (in(a.gid) || slices.ContainsFunc(a.groups, in))
}

// chownAt gives what an entry of the folder is to the user, without following
// it; a file with a second name, which may be anybody's, is refused.
func chownAt(folder *os.File, name string, a account) error {
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	switch {
	case stat.Uid == uint32(a.uid) && stat.Gid == uint32(a.gid): // #nosec G115 -- ids
		return nil
	case stat.Mode&unix.S_IFMT != unix.S_IFDIR && stat.Nlink > 1:
		return fmt.Errorf("it has %d names, and may be a file of others", stat.Nlink)
	}
	return unix.Fchownat(fd, "", a.uid, a.gid, unix.AT_EMPTY_PATH)
}
