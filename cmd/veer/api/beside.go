package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Beside returns where the daemon of a user has its socket when its data_dir, in
// which socket would be, takes no writes: in a folder of the user's own.
func Beside(socket string, uid int) string {
	sum := sha256.Sum256([]byte(socket))
	return filepath.Join(os.TempDir(), fmt.Sprintf("veer-%d", uid), hex.EncodeToString(sum[:8])+".sock")
}

// Private reports whether a folder is the user's, and nobody else's to use.
func Private(dir string, uid int) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir() && info.Mode().Perm()&0o077 == 0 && ownerOf(info) == uid
}

// ownerOf returns the user whose file this is, or -1.
func ownerOf(info os.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// dial connects to the socket, or to the one beside: of this user, or of the
// user whose data_dir it is.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err == nil {
		return conn, nil
	}
	whole, abs := filepath.Abs(socket)
	if abs != nil {
		return nil, err //nolint:wrapcheck // the caller says what it was doing
	}
	users := []int{os.Geteuid()}
	if info, stat := os.Stat(filepath.Dir(whole)); stat == nil {
		users = append(users, ownerOf(info))
	}
	for _, uid := range users {
		path := Beside(whole, uid)
		if !Private(filepath.Dir(path), uid) {
			continue
		}
		if conn, beside := d.DialContext(ctx, "unix", path); beside == nil {
			return conn, nil
		}
	}
	return nil, err //nolint:wrapcheck // as above
}
