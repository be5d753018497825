package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxSocketPath is what every kernel takes (sun_path is 104 to 108 bytes).
const maxSocketPath = 100

// listenSocket listens on a unix socket of mode 0600. The socket appears at
// path by a rename out of private, a folder of mode 0700, so that there is no
// moment at which it is there and others can connect. A socket that a killed
// process left is replaced: the caller holds the data folder's lock.
func listenSocket(path, private string) (net.Listener, error) {
	temp := filepath.Join(private, "s")
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket %s: %w", temp, err)
	}
	short, done, err := shorten(temp)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on the unix socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the unix socket %s: %w", path, err), l.Close())
	}
	return l, nil
}

// dialSocket connects to a unix socket.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

// shorten returns a name of path that the kernel takes as a socket address;
// done frees it after use. On Linux a long folder is named by a descriptor.
func shorten(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("socket path %s has %d bytes, at most %d are possible: choose a shorter data_dir", path, len(path), maxSocketPath)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, fmt.Errorf("open the folder of the socket: %w", err)
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return short, func() { dir.Close() }, nil
}

// socketDialer dials what gRPC names: aliases maps the last element of
// unix:///NAME to a path, so that no path has to survive URL parsing.
func socketDialer(aliases map[string]string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		if path, ok := aliases[addr[strings.LastIndexByte(addr, '/')+1:]]; ok {
			return dialSocket(ctx, path)
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}
