package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/veer/api"
)

// lockName is the file by which one process holds the data folder.
const lockName = "veer.lock"

// maxSocket is the longest path of a socket, in bytes (unix(7): sun_path).
const maxSocket = 107

// lockFolder keeps another Veer off the data folder until the file is closed.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data folder's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // the lock's error says more
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another veer runs on this data_dir, %s: stop it, or give this one its own by host.data_dir or VEER_DATA_DIR", dir)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f, nil
}

// listenAPI makes the API's socket, which only this user may open. The caller
// holds the folder's lock, so that a socket found there is stale; one that
// answers all the same is refused.
func listenAPI(dir string) (net.Listener, error) {
	return listenAt(filepath.Join(dir, api.SocketName))
}

func listenAt(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close() // it only had to answer
		return nil, fmt.Errorf("another veer runs on this data_dir: something answers on %s", path)
	}
	private, err := os.MkdirTemp(dir, ".s")
	if err != nil {
		return nil, fmt.Errorf("making a private folder for the API's socket: %w", err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // an empty folder is left
	hidden := filepath.Join(private, "s")
	if len(path) > maxSocket || len(hidden) > maxSocket {
		return nil, fmt.Errorf("data_dir %s is too long: a socket's path in it would be above %d bytes", dir, maxSocket)
	}
	l, err := net.Listen("unix", hidden)
	if err != nil {
		return nil, fmt.Errorf("listening on the API's socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	err = os.Chmod(hidden, 0o600)
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		_ = l.Close() // the first error says more
		return nil, fmt.Errorf("placing the API's socket: %w", err)
	}
	return socket{l, path}, nil
}

// socket is a listener that removes its path when closed.
type socket struct {
	net.Listener
	path string
}

func (s socket) Close() error {
	err := s.Listener.Close()
	if gone := os.Remove(s.path); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// folder is where a provider keeps its own files.
func (d *daemon) folder(provider string) string {
	return filepath.Join(d.c.Host.DataDir, "authority", provider)
}
