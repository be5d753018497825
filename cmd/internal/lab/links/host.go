//go:build linux

package links

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// device is the name of every host's TUN device.
const device = "lab0"

// Host is a network namespace. Its addresses are 10.77.N.x; all others of
// 10.77.0.0/16 are reached by the relay.
type Host struct {
	Name string
	// N is the third part of the host's addresses.
	N byte

	tun  *os.File
	work chan func()
	gone chan struct{}
	once sync.Once
}

// newHost makes a namespace with its device up.
func newHost(name string, n byte) (*Host, error) {
	h := &Host{Name: name, N: n, work: make(chan func()), gone: make(chan struct{})}
	made := make(chan error)
	go h.live(made)
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make the host %s: %w", name, err)
	}
	return h, nil
}

// live is the goroutine whose thread is in the namespace. The thread ends with
// it, for no other goroutine may run there; and with it end, by the kernel,
// the processes that it started.
func (h *Host) live(made chan<- error) {
	runtime.LockOSThread() // and never unlock
	defer close(h.gone)
	err := h.build()
	made <- err
	if err != nil {
		return
	}
	for f := range h.work {
		f()
	}
}

func (h *Host) build() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace (it needs root): %w", err)
	}
	tun, err := openTUN(device)
	if err != nil {
		return err
	}
	h.tun = tun
	for _, args := range []string{
		"link set lo up",
		fmt.Sprintf("addr add %s/16 dev %s", h.Address(), device),
		fmt.Sprintf("link set %s up txqueuelen 2000", device),
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return errors.Join(fmt.Errorf("ip %s: %w: %s", args, err, out), tun.Close())
		}
	}
	return nil
}

// openTUN makes a TUN device in the namespace of the calling thread. Its file
// works in every thread.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err == nil { // only now: the runtime polls what is not blocking
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the TUN device %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// Address is the host's first address.
func (h *Host) Address() netip.Addr { return h.Also(10) }

// Also is the host's address 10.77.N.last; but for the first, AddAddress gives
// it to the host.
func (h *Host) Also(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, h.N, last}) }

// AddAddress gives the host a further address.
func (h *Host) AddAddress(last byte) error {
	_, err := h.Run("ip", "addr", "add", h.Also(last).String()+"/32", "dev", device)
	return err
}

// Do calls f on a thread in the namespace: sockets that it opens and processes
// that it starts are the host's. It must not block.
func (h *Host) Do(f func() error) error {
	done := make(chan error, 1)
	select {
	case h.work <- func() { done <- f() }:
		return <-done
	case <-h.gone:
		return fmt.Errorf("the host %s is gone", h.Name)
	}
}

// Run runs a command that ends soon, and returns what it printed.
func (h *Host) Run(name string, args ...string) (string, error) {
	var out []byte
	err := h.Do(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		return string(out), fmt.Errorf("%s: %s %s: %w: %s", h.Name, name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Start starts a process on the host. It ends at the latest with the host.
func (h *Host) Start(s lab.Spec) (p *lab.Process, err error) {
	err = h.Do(func() error {
		p, err = lab.Start(s)
		return err
	})
	return p, err
}

// Listen listens on a TCP port of the host's.
func (h *Host) Listen(addr netip.Addr, port uint16) (l net.Listener, err error) {
	err = h.Do(func() error {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", netip.AddrPortFrom(addr, port).String())
		return err
	})
	return l, err
}

// ListenPacket listens on a UDP port of the host's.
func (h *Host) ListenPacket(addr netip.Addr, port uint16) (c net.PacketConn, err error) {
	err = h.Do(func() error {
		c, err = net.ListenPacket("udp", netip.AddrPortFrom(addr, port).String())
		return err
	})
	return c, err
}

// Dial makes a socket of the host's to an IP address. TCP blocks the host's
// thread until it is connected: it is for short links.
func (h *Host) Dial(network, address string) (c net.Conn, err error) {
	err = h.Do(func() error {
		c, err = net.Dial(network, address)
		return err
	})
	return c, err
}

// Set sets a sysctl of the namespace, such as net/ipv4/ip_forward.
func (h *Host) Set(name, value string) error {
	return h.Do(func() error {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil { // #nosec G306 -- it exists
			return fmt.Errorf("%s: set %s: %w", h.Name, name, err)
		}
		return nil
	})
}

// close ends the host's thread, with the processes that it started, and its
// device.
func (h *Host) close() error {
	err := os.ErrClosed
	h.once.Do(func() {
		close(h.work)
		<-h.gone
		err = h.tun.Close()
	})
	if err != nil {
		return fmt.Errorf("close the host %s: %w", h.Name, err)
	}
	return nil
}
