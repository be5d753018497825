package icmpcheck

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// packet is what a fake network has for a socket.
type packet struct {
	message []byte
	about   *fault
	after   time.Duration
}

// fakeSocket is a socket on a network in memory.
type fakeSocket struct {
	id      uint16
	v6      bool
	network func(n int, v6 bool, message []byte) ([]packet, error) // n counts the echoes

	mu       sync.Mutex
	sent     int
	inbox    chan packet
	deadline chan struct{} // closed at the deadline, or when it changes
	until    time.Time
	closed   bool
}

// network makes an opener of fake sockets that only the permitted kinds open.
func network(answer func(n int, v6 bool, message []byte) ([]packet, error), permitted ...string) opener {
	return func(kind string, to netip.Addr) (socket, error) {
		for _, k := range permitted {
			if k == kind {
				return &fakeSocket{id: 0x5678, v6: to.Is6(), network: answer, inbox: make(chan packet, 100), deadline: make(chan struct{})}, nil
			}
		}
		if kind == "udp" {
			return nil, &openError{syscall.EACCES}
		}
		return nil, &openError{syscall.EPERM}
	}
}

func (s *fakeSocket) ID() uint16 { return s.id }

func (s *fakeSocket) Send(message []byte) error {
	s.mu.Lock()
	n := s.sent
	s.sent++
	s.mu.Unlock()
	packets, err := s.network(n, s.v6, message)
	for _, p := range packets {
		time.AfterFunc(p.after, func() { s.inbox <- p })
	}
	return err
}

func (s *fakeSocket) Receive(into []byte) (int, *fault, error) {
	for {
		s.mu.Lock()
		changed, until := s.deadline, s.until
		s.mu.Unlock()
		var at <-chan time.Time
		if !until.IsZero() {
			if !time.Now().Before(until) {
				return 0, nil, os.ErrDeadlineExceeded
			}
			timer := time.NewTimer(time.Until(until))
			defer timer.Stop()
			at = timer.C
		}
		select {
		case p := <-s.inbox:
			return copy(into, p.message), p.about, nil
		case <-at:
		case <-changed:
		}
	}
}

func (s *fakeSocket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.deadline)
	s.deadline, s.until = make(chan struct{}), t
	return nil
}

func (s *fakeSocket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// replyTo is the reply that a host sends to an echo.
func replyTo(v6 bool, request []byte) []byte {
	reply := append([]byte(nil), request...)
	reply[0] = 0
	if v6 {
		reply[0] = 129
	}
	return reply
}

// edited is a message with the word at an offset changed.
func edited(message []byte, offset int) []byte {
	out := append([]byte(nil), message...)
	binary.BigEndian.PutUint16(out[offset:], binary.BigEndian.Uint16(out[offset:])^0x1234)
	return out
}
