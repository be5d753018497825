//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// servers is how many processes the targets are spread over.
const servers = 4

// targets is a process that serves one port on every address of 127/8, and
// counts the requests.
type targets struct {
	port    int
	process *lab.Process
	counter []byte // mapped: 8 bytes
}

// serve starts the targets' processes.
func (b *bench) serve() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range servers {
		t := &targets{port: 21000 + i}
		file := filepath.Join(b.dir, fmt.Sprintf("count%d", i))
		if t.counter, err = mapped(file); err != nil {
			return err
		}
		t.process, err = lab.Start(lab.Spec{
			Name: "targets", Path: self, Args: []string{"targets", strconv.Itoa(t.port), file}, Log: filepath.Join(b.dir, fmt.Sprintf("targets%d.log", i)), Ready: true,
		})
		if err != nil {
			return err
		}
		b.targets = append(b.targets, t)
	}
	return nil
}

// checks is how many requests all targets have had.
func (b *bench) checks() (n uint64) {
	for _, t := range b.targets {
		n += binary.NativeEndian.Uint64(t.counter)
	}
	return n
}

func mapped(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(8); err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

const (
	answerKept  = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
	answerClose = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
)

// serveTargets answers every request with 200, by one loop over epoll, since what
// the targets use is missing to what is measured.
func serveTargets(port, file string) error {
	counter, err := mapped(file)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("port %q: %w", port, err)
	}
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	// Every address of 127/8, and nothing that comes from elsewhere.
	if err := errors.Join(unix.SetsockoptInt(l, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.BindToDevice(l, "lo"),
		unix.Bind(l, &unix.SockaddrInet4{Port: n}), unix.Listen(l, 4096)); err != nil {
		return fmt.Errorf("listen on port %d: %w", n, err)
	}
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if err := watch(poll, l); err != nil {
		return err
	}
	fmt.Println("ready")
	events, in, seen := make([]unix.EpollEvent, 256), make([]byte, 2048), uint64(0)
	for {
		got, err := unix.EpollWait(poll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:max(got, 0)] {
			if int(e.Fd) == l {
				accept(poll, l)
			} else if answer(int(e.Fd), in) {
				seen++
			}
		}
		binary.NativeEndian.PutUint64(counter, seen)
	}
}

func watch(poll, fd int) error {
	if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func accept(poll, l int) {
	for {
		fd, _, err := unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		if watch(poll, fd) != nil {
			_ = unix.Close(fd) // the client sees it
		}
	}
}

// answer reads a request and answers it, and reports whether there was one.
func answer(fd int, in []byte) bool {
	n, err := unix.Read(fd, in)
	if err == unix.EAGAIN {
		return false
	}
	if err != nil || n <= 0 {
		_ = unix.Close(fd) // it was the client's end
		return false
	}
	head := string(in[:n])
	text, closes := answerClose, true
	if strings.Contains(head, "HTTP/1.1") && !strings.Contains(strings.ToLower(head), "connection: close") {
		text, closes = answerKept, false
	}
	_, err = unix.Write(fd, []byte(text))
	if closes || err != nil {
		_ = unix.Close(fd)
	}
	return true
}
