//go:build unix

package authority

import "syscall"

// descriptors is how many files this process may open; 0: it is not known. Go
// has raised the limit as far as the system allows without a privilege.
func descriptors() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return uint64(l.Cur) // #nosec G115 -- unsigned, but on some systems
}
