//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	messagesPerCall = 64
	maxBurst        = 16
	longestQuery    = 64
	longestReply    = 2048
	roomAtSocket    = 4 << 20
)

// mmsghdr is struct mmsghdr of 64-bit Linux.
type mmsghdr struct {
	unix.Msghdr
	size uint32
	_    uint32
}

// control is what goes with a message: its source address, and how long the
// packets are that the system cuts it into.
type control struct {
	infoHead    unix.Cmsghdr
	info        unix.Inet4Pktinfo
	_           [4]byte
	segmentHead unix.Cmsghdr
	segment     uint16
	_           [6]byte
}

const (
	controlOne  = unix.SizeofCmsghdr + unix.SizeofInet4Pktinfo + 4
	controlMany = controlOne + unix.SizeofCmsghdr + 8
)

// outgoing is one message: a burst of queries of one length from one source.
type outgoing struct {
	iov     unix.Iovec
	control control
	room    [maxBurst * longestQuery]byte
}

type incoming struct {
	iov  unix.Iovec
	from unix.RawSockaddrInet4
	room [longestReply]byte
}

// wire is one UDP socket that sends from any address of 127/8, which needs no
// privilege, and takes what comes back.
type wire struct {
	fd     int
	server unix.RawSockaddrInet4
	outs   []mmsghdr
	out    []outgoing
	ins    []mmsghdr
	in     []incoming
}

func newWire(server netip.AddrPort) (*wire, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a UDP socket: %w", err)
	}
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, roomAtSocket) // as much as is allowed
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind a UDP socket: %w", err), unix.Close(fd))
	}
	w := &wire{
		fd: fd, outs: make([]mmsghdr, messagesPerCall), out: make([]outgoing, messagesPerCall),
		ins: make([]mmsghdr, messagesPerCall), in: make([]incoming, messagesPerCall),
	}
	w.server = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: server.Addr().As4()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&w.server.Port))[:], server.Port())
	for i := range w.outs {
		m, o := &w.outs[i], &w.out[i]
		o.iov.Base = &o.room[0]
		m.Iov, m.Name, m.Namelen = &o.iov, (*byte)(unsafe.Pointer(&w.server)), unix.SizeofSockaddrInet4
		m.SetIovlen(1)
		m.Control = (*byte)(unsafe.Pointer(&o.control))
		c := &o.control
		c.infoHead.Level, c.infoHead.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		c.infoHead.SetLen(unix.SizeofCmsghdr + unix.SizeofInet4Pktinfo)
		c.segmentHead.Level, c.segmentHead.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.segmentHead.SetLen(unix.SizeofCmsghdr + 2)
	}
	for i := range w.ins {
		m, in := &w.ins[i], &w.in[i]
		in.iov.Base = &in.room[0]
		in.iov.SetLen(longestReply)
		m.Iov, m.Name = &in.iov, (*byte)(unsafe.Pointer(&in.from))
		m.SetIovlen(1)
	}
	return w, nil
}

func (w *wire) close() { _ = unix.Close(w.fd) } // nothing is lost with it

// port is the socket's own; 0: it is not known.
func (w *wire) port() uint16 {
	if at, err := unix.Getsockname(w.fd); err == nil {
		if at, ok := at.(*unix.SockaddrInet4); ok {
			return uint16(at.Port) // #nosec G115 -- a port
		}
	}
	return 0
}

// load makes message i a burst of count queries of one size, which are in its
// room already.
func (w *wire) load(i int, source [4]byte, size, count int) {
	o, m := &w.out[i], &w.outs[i]
	o.iov.SetLen(size * count)
	o.control.info.Spec_dst = source
	if count == 1 {
		m.SetControllen(controlOne)
		return
	}
	o.control.segment = uint16(size) // #nosec G115 -- at most longestQuery
	m.SetControllen(controlMany)
}

// send sends the first n messages.
func (w *wire) send(n int) error {
	for sent := 0; sent < n; {
		k, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.outs[sent])), uintptr(n-sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			sent += int(k) // #nosec G115 -- at most messagesPerCall
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		case unix.EINVAL, unix.EIO:
			return fmt.Errorf("send queries: %w; a kernel without UDP_SEGMENT takes --burst 1", errno)
		default:
			return fmt.Errorf("send queries: %w", errno)
		}
	}
	return nil
}

// take takes what has come, without waiting, and returns how many packets.
func (w *wire) take() (int, error) {
	for i := range w.ins {
		w.ins[i].Namelen = unix.SizeofSockaddrInet4
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.ins[0])), messagesPerCall, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), nil // #nosec G115 -- at most messagesPerCall
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("read answers: %w", errno)
}

// reply returns a packet that was taken; nil for one that is not the server's.
func (w *wire) reply(i int) []byte {
	in := &w.in[i]
	if in.from.Port != w.server.Port || in.from.Addr != w.server.Addr {
		return nil
	}
	return in.room[:w.ins[i].size]
}
