//go:build linux && (amd64 || arm64)

package authority

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batches says whether this system takes many packets with one call.
const batches = true

// shared returns the sockets that share first's address. The first is bound
// alone and shared only then, so that an address that somebody else has, be it
// another Veer, is refused as ever.
func shared(first *net.UDPConn, network string, at netip.AddrPort, b binder) ([]*net.UDPConn, error) {
	all := []*net.UDPConn{first}
	if b.sockets < 2 {
		return all, nil
	}
	share := func(network, address string, c syscall.RawConn) error {
		var err error
		ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		if err = errors.Join(err, ctlErr); err == nil && b.free {
			err = freebind(network, address, c)
		}
		return err
	}
	raw, err := first.SyscallConn()
	if err == nil {
		err = share(network, "", raw)
	}
	for len(all) < b.sockets && err == nil {
		var conn net.PacketConn
		// The context bounds the resolving of names, of which there is none.
		if conn, err = (&net.ListenConfig{Control: share}).ListenPacket(context.Background(), network, at.String()); err == nil {
			all = append(all, conn.(*net.UDPConn))
		}
	}
	if err != nil {
		return all, fmt.Errorf("share a UDP address among %d sockets: %w", b.sockets, err)
	}
	return all, nil
}

// widenPast asks for more room than the system allows everybody, as root may.
func widenPast(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // less is slower, not wrong
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readRoom)  //nolint:errcheck // the same
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, writeRoom) //nolint:errcheck // the same
	})
}

const (
	// batchSize is how many packets one call takes at most. From 32 on the system
	// would interrupt the CPU that made them, to give back their memory.
	batchSize = 24
	// lastBatches hold more queries than a socket has room for.
	lastBatches = 512
	// packetRoom is for the largest packet. Pages that no packet was long
	// enough for take no memory.
	packetRoom = 1 << 16
	// packetStride lays the packets into different lines of the CPU's caches:
	// at a power of 2 they would all want the same few.
	packetStride = packetRoom + 3*64
	addressRoom  = unix.SizeofSockaddrInet6
	controlRoom  = 40 // CMSG_SPACE(sizeof(struct in6_pktinfo))
	controlHead  = unix.SizeofCmsghdr
)

// A message is one packet of a batch: struct mmsghdr.
type message struct {
	unix.Msghdr
	size uint32
	_    uint32
}

// A slot is where a message's parts are kept. An answer replaces its query, so
// that address and destination are those of the query without a copy.
type slot struct {
	iov     unix.Iovec
	address [addressRoom]byte
	control [controlRoom]byte
	packet  []byte
}

// batch are the packets that are taken, answered and sent at once. The heap
// does not move, so that the pointers in it stay valid.
type batch struct {
	messages []message
	slots    []*slot // of each message
	control  bool
	taken    int   // of messages: how many came
	kept     int   // how many are to be sent: the first ones
	sent     int   // how many were
	lost     int   // how many could not be
	err      error // of taking or, if any were lost, of sending
	drafts   [batchSize]drafted
}

// drafted is the draft of the answer to a message, and where in it that starts.
type drafted struct {
	quickQuery
	draft
	message, start int
}

func newBatch(control bool) *batch {
	b := &batch{messages: make([]message, batchSize), control: control}
	room, slots := make([]byte, batchSize*packetStride), make([]slot, batchSize)
	for i := range slots {
		s, m := &slots[i], &b.messages[i]
		s.packet = room[i*packetStride:][:packetRoom:packetRoom]
		s.iov.Base = &s.packet[0]
		m.Iov, m.Name = &s.iov, &s.address[0]
		m.SetIovlen(1)
		b.slots = append(b.slots, s)
	}
	b.taken = batchSize
	return b
}

// take takes what is there. It returns false when that is nothing.
func (b *batch) take(fd int) bool {
	for i := range b.taken { // the others are as they were
		m, s := &b.messages[i], b.slots[i]
		m.Namelen = addressRoom
		s.iov.Base = &s.packet[0]
		s.iov.SetLen(packetRoom)
		if b.control {
			m.Control = &s.control[0]
			m.SetControllen(controlRoom)
		}
	}
	b.taken, b.kept, b.sent, b.err = 0, 0, 0, nil
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.taken = int(n) // #nosec G115 -- at most batchSize
			return true
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			b.err = errno
			return true
		}
	}
}

// query returns the packet of a message, in the room for its answer.
func (b *batch) query(i int) (buf []byte, n int) {
	return b.slots[i].packet, int(b.messages[i].size)
}

// source returns who sent a message.
func (b *batch) source(i int) peer {
	sa := b.slots[i].address[:]
	from := peer{port: binary.BigEndian.Uint16(sa[2:]), over: overUDP}
	switch *(*uint16)(unsafe.Pointer(&sa[0])) {
	case unix.AF_INET:
		from.addr = netip.AddrFrom4([4]byte(sa[4:8]))
	case unix.AF_INET6:
		from.addr = netip.AddrFrom16([16]byte(sa[8:24])).Unmap()
	}
	return from
}

// keep makes size bytes of a message's room its answer, from where its query
// started. It goes back to where that came from, and from where it came to.
func (b *batch) keep(i, start, size int) {
	b.slots[i].iov.Base = &b.slots[i].packet[start]
	b.slots[i].iov.SetLen(size)
	if b.control {
		anyInterface(b.slots[i].control[:])
	}
	// What is to be sent stands in front.
	b.messages[i], b.messages[b.kept] = b.messages[b.kept], b.messages[i]
	b.slots[i], b.slots[b.kept] = b.slots[b.kept], b.slots[i]
	b.kept++
}

// anyInterface lets the answer leave by whatever interface the routes say,
// which need not be the one that the query came by. An address of a link has
// a meaning on its own link only.
func anyInterface(control []byte) {
	head := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	data := control[controlHead:]
	switch {
	case head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO:
		clear(data[:4])
	case head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO:
		if data[0] != 0xfe || data[1]&0xc0 != 0x80 {
			clear(data[16:20])
		}
	}
}

// send sends what was kept. Where the socket is full it waits for sendPatience;
// what finds no room even then, or can't be sent, is lost.
func (b *batch) send(fd int) {
	for b.sent < b.kept {
		first, left := uintptr(unsafe.Pointer(&b.messages[b.sent])), uintptr(b.kept-b.sent)
		// It seldom waits, and so need not tell the scheduler.
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), first, left, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EAGAIN {
			n, _, errno = unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), first, left, 0, 0, 0)
		}
		switch errno {
		case 0:
			b.sent += int(n) // #nosec G115 -- at most batchSize
		case unix.EINTR:
		case unix.EMSGSIZE:
			iov := &b.slots[b.sent].iov
			if answer := unsafe.Slice(iov.Base, iov.Len); len(answer) > headerSize && answer[2]&flagTruncated == 0 {
				iov.SetLen(truncate(answer, len(answer)))
				continue
			}
			fallthrough
		default: // of the first message: its client can't be reached
			b.sent++
			b.lost++
			b.err = errno
		}
	}
}

// batchLoop takes over a socket, and returns the loop that answers its queries
// until ctx ends and then closes it. any: the socket is told which address each
// query came to. The loop itself opens nothing: it begins also where no
// descriptor is left.
func (s *Server) batchLoop(ctx context.Context, conn *net.UDPConn, any bool, c *counter) func() error {
	fd, err := takeOver(conn)
	var bell *doorbell
	if err == nil {
		if bell, err = newDoorbell(fd); err != nil {
			unix.Close(fd) //nolint:errcheck // the error before says more
		}
	}
	return func() error {
		if err != nil {
			return fmt.Errorf("serve %s: %w", conn.LocalAddr(), err)
		}
		defer unix.Close(fd) //nolint:errcheck // nothing is lost with it
		defer bell.close()
		return s.serveBatches(ctx, conn, fd, bell, any, c)
	}
}

// serveBatches is that loop.
func (s *Server) serveBatches(ctx context.Context, conn *net.UDPConn, fd int, bell *doorbell, any bool, c *counter) error {
	stop := context.AfterFunc(ctx, bell.close)
	defer stop()
	a, b, pace := s.answerer().remembering(), newBatch(any), pace{}
	for faults, gather := faults(0), false; ctx.Err() == nil; {
		if gather {
			nap()
		}
		if !pace.fast || !b.take(fd) {
			if err := bell.wait(func() bool { return b.take(fd) }); err != nil {
				b.err = err
			}
		} else {
			bell.mute()
		}
		if b.err != nil {
			if err, _ := faults.over(ctx, conn, b.err); err != nil {
				return err
			}
			continue // to the end, if ctx has ended
		}
		faults = 0
		s.passBatch(a, b, fd, c)
		gather = pace.after(a.clock.now(), b.taken)
	}
	// Who asked already would wait in vain, and ask elsewhere only then.
	for range lastBatches {
		if !b.take(fd) || b.err != nil || !s.passBatch(a, b, fd, c) {
			break
		}
	}
	return nil
}

// passBatch answers a batch and sends the answers; false: not all could be sent.
func (s *Server) passBatch(a *answerer, b *batch, fd int, c *counter) bool {
	s.answerBatch(a, b)
	c.add(a)
	b.send(fd)
	lost := b.lost
	if lost > 0 {
		s.opts.Log.Debug().Err(b.err).Int("answers", lost).Msg("answers could not be sent")
		b.lost = 0
	}
	return lost == 0
}

// answerBatch answers all queries of a batch, step by step: what is remembered of
// all is read before any is answered, and their accounts in the limiter before any
// is judged. Each is far away in memory, and reads that do not wait for each other
// take little more time than one.
func (s *Server) answerBatch(a *answerer, b *batch) {
	a.begin()
	drafts := 0
	for i := range b.taken {
		buf, n := b.query(i)
		a.from = b.source(i)
		start, ok := s.proxies.strip(buf[:n], &a.from)
		if !ok {
			s.seats.away[awayProxy].Add(1)
			continue
		}
		if a.samplers != nil { // which take each query with its answer
			if size, _ := a.respond(buf[start:], n-start); size > 0 {
				b.keep(i, start, size)
			}
			continue
		}
		d := &b.drafts[drafts]
		d.from, d.message, d.start = a.from, i, start
		a.ahead(&d.quickQuery, buf[start:n])
		drafts++
	}
	a.fetch(b.drafts[:drafts])
	for i := range b.drafts[:drafts] {
		d := &b.drafts[i]
		buf, n := b.query(d.message)
		if a.from = d.from; a.fast != nil {
			a.fast.asked = &d.quickQuery
		}
		a.draft(&d.draft, buf[d.start:], n-d.start)
	}
	for i := range b.drafts[:drafts] {
		if d := &b.drafts[i]; d.limited {
			a.limits.line(d.hash)[0].state.Load()
		}
	}
	for i := range b.drafts[:drafts] {
		d := &b.drafts[i]
		buf, _ := b.query(d.message)
		if size := a.settle(&d.draft, buf[d.start:], nil); size > 0 {
			b.keep(d.message, d.start, size)
		}
	}
}

// fetch has the CPU fetch what is remembered of the queries.
func (a *answerer) fetch(drafts []drafted) {
	if a.fast == nil || a.fast.memo == nil {
		return
	}
	for i := range drafts {
		if drafts[i].usual {
			a.fast.memo.fetch(drafts[i].place)
		}
	}
}
