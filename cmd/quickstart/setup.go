package main

import (
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/veerdns/veer/cmd/internal/lab"
)

//go:embed files
var files embed.FS

// paths are the files of a run.
type paths struct {
	config string // absolute, below the options' dir
	data   string // absolute; the regions' data folders are in it
	link   string // the symbolic link to remove at the end, or ""
}

// setup makes the folders and writes the config. The working directory becomes
// o.dir.
func setup(o options) (paths, error) {
	p := paths{config: filepath.Join(o.dir, "veer.yaml"), data: o.dir}
	for _, r := range places() {
		if err := os.MkdirAll(filepath.Join(o.dir, r.Name), 0o700); err != nil {
			return p, err
		}
	}
	if err := os.Chdir(o.dir); err != nil {
		return p, err
	}
	return p, nil
}

// shorten puts a short link in the place of a data path that is too long for
// the sockets in it.
func (p *paths) shorten(o options) error {
	if len(filepath.Join(o.dir, "ap-south", "etcd.sock")) < lab.SocketLimit {
		return nil
	}
	h := fnv.New64a()
	h.Write([]byte(o.dir))
	p.link = filepath.Join(os.TempDir(), fmt.Sprintf("veer-quickstart-%d-%x", os.Getuid(), h.Sum64()))
	if len(filepath.Join(p.link, "ap-south", "etcd.sock")) >= lab.SocketLimit {
		return fmt.Errorf("the paths %s and %s are both too long for unix sockets (at most %d bytes); set TMPDIR to a short one", o.dir, os.TempDir(), lab.SocketLimit)
	}
	// Made anew each time, so that it is this user's.
	if err := os.Remove(p.link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the link of an earlier run: %w", err)
	}
	if err := os.Symlink(o.dir, p.link); err != nil {
		return fmt.Errorf("make a short path to %s: %w", o.dir, err)
	}
	p.data = p.link
	return nil
}

func (p *paths) cleanup() {
	if p.link != "" {
		_ = os.Remove(p.link) // a link that stays does no harm; the next run replaces it
	}
}

func (p *paths) write(o options) error {
	values := map[string]any{
		"DNS": o.dns, "Port": o.port, "Regions": places(),
		"Data": strconv.Quote(filepath.Join(p.data, places()[0].Name)),
	}
	return lab.Fill(o.dir, files, "files", values)
}

// checkPorts says which port is taken, by whom, and what to do.
func checkPorts(o options) error {
	type want struct{ network, at, what string }
	all := []want{{"udp", o.dns, "the DNS server"}, {"tcp", o.dns, "the DNS server"}}
	for _, p := range places() {
		all = append(all, want{"tcp", net.JoinHostPort(p.Address, strconv.Itoa(o.port)), "the web server of " + p.Name})
	}
	for _, w := range all {
		err := tryListen(w.network, w.at)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EADDRINUSE):
			change := "QUICKSTART_PORT=" + strconv.Itoa(o.port+1)
			if w.what == "the DNS server" {
				at := netip.MustParseAddrPort(o.dns)
				change = "QUICKSTART_DNS=" + netip.AddrPortFrom(at.Addr(), at.Port()+1).String()
			}
			return fmt.Errorf("%s needs %s port %s, which is taken by %s.\nStop that program, or choose another port: %s make run",
				w.what, w.network, w.at, holder(w.network, w.at), change)
		case errors.Is(err, syscall.EADDRNOTAVAIL) && runtime.GOOS != "linux":
			host, _, _ := net.SplitHostPort(w.at)
			return fmt.Errorf("%s needs the address %s, which this machine does not have; add it with: sudo ifconfig lo0 alias %s", w.what, host, host)
		default:
			return fmt.Errorf("%s cannot listen on %s port %s: %w", w.what, w.network, w.at, err)
		}
	}
	return nil
}

func tryListen(network, at string) error {
	if network == "udp" {
		c, err := net.ListenPacket(network, at)
		if err == nil {
			c.Close()
		}
		return err
	}
	l, err := net.Listen(network, at)
	if err == nil {
		l.Close()
	}
	return err
}
