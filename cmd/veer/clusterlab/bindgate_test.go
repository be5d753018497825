//go:build netns

package clusterlab

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// front stands before BIND, on another address of its host, and hands messages
// on as they are: they are signed. What updates passes the gate.
type front struct {
	gate
	w    *world
	udp  net.PacketConn
	tcp  net.Listener
	work sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil: it is closed
}

// frontAt is the last part of its address.
const frontAt = 11

func (w *world) startFront() {
	w.t.Helper()
	if err := w.outside.AddAddress(frontAt); err != nil {
		w.t.Fatal(err)
	}
	f := &front{w: w, conns: map[net.Conn]bool{}}
	f.name, f.app = "BIND", func() []string {
		now, err := w.readBIND()
		if err != nil {
			return nil // as an answer that is lost: it is not passed over
		}
		return now.app
	}
	var err error
	if f.udp, err = w.outside.ListenPacket(w.outside.Also(frontAt), 53); err != nil {
		w.t.Fatal(err)
	}
	if f.tcp, err = w.outside.Listen(w.outside.Also(frontAt), 53); err != nil {
		w.t.Fatal(err)
	}
	f.work.Go(f.packets)
	f.work.Go(f.accept)
	w.front = f
}

func (f *front) close() {
	f.open()
	_ = f.udp.Close() // their loops end
	_ = f.tcp.Close()
	f.mu.Lock()
	for c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
	f.mu.Unlock()
	f.work.Wait()
}

// keep has a connection closed at the latest with the front.
func (f *front) keep(c net.Conn) (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		_ = c.Close()
		return func() {}
	}
	f.conns[c] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, c)
		_ = c.Close()
	}
}

// packets hands on what comes over UDP.
func (f *front) packets() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := f.udp.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		q := append([]byte(nil), buf[:n]...)
		f.work.Go(func() {
			reply := f.serve("udp", from, q, false)
			if reply != nil {
				_, _ = f.udp.WriteTo(reply, from) // the asker may be gone
			}
		})
	}
}

// accept hands on what comes over TCP, one message a connection, as Veer does.
func (f *front) accept() {
	for {
		conn, err := f.tcp.Accept()
		if err != nil {
			return // closed
		}
		made := time.Now()
		f.work.Go(func() {
			defer f.keep(conn)()
			q, err := readFrame(conn)
			if err != nil {
				return
			}
			if _, is := updates(q); !is {
				f.hand(conn, q)
				return
			}
			if reply := f.serve("tcp", conn.RemoteAddr(), q, time.Since(made) > longAgo); reply != nil {
				_ = writeFrame(conn, reply) // the asker may be gone
			}
		})
	}
}

// hand hands on one question, and all that BIND says to it: a transfer has many
// messages. It ends when either side does.
func (f *front) hand(conn net.Conn, q []byte) {
	up, err := f.w.outside.Dial("tcp", f.w.outside.Address().String()+":53")
	if err != nil {
		return
	}
	end := f.keep(up)
	defer end()
	if writeFrame(up, q) != nil {
		return
	}
	f.work.Go(func() {
		_, _ = io.Copy(io.Discard, conn) // until the asker is done
		end()
	})
	_, _ = io.Copy(conn, up)
	_ = conn.Close()
}

// serve passes one message on and returns the reply, nil without one.
func (f *front) serve(network string, from net.Addr, q []byte, waited bool) (reply []byte) {
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		panic(err)
	}
	fence, is := updates(q)
	if !is {
		reply, _ = f.ask(network, q)
		return reply
	}
	f.pass(arrival{from: host, fence: fence, dialled: waited}, func() bool {
		reply, err = f.ask(network, q)
		return err == nil && reply[3]&0xf == dns.RcodeSuccess
	})
	return reply
}

// ask asks BIND itself.
func (f *front) ask(network string, q []byte) ([]byte, error) {
	up, err := f.w.outside.Dial(network, f.w.outside.Address().String()+":53")
	if err != nil {
		return nil, err
	}
	defer f.keep(up)()
	if err := up.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if network == "tcp" {
		if err := writeFrame(up, q); err != nil {
			return nil, err
		}
		return readFrame(up)
	}
	if _, err := up.Write(q); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	n, err := up.Read(buf)
	if err == nil && n < 12 {
		err = errors.New("a short reply")
	}
	return buf[:n], err
}

// updates reports whether a message changes anything, and which fence it sets.
func updates(q []byte) (f providers.Fence, is bool) {
	var m dns.Msg
	if m.Unpack(q) != nil || m.Opcode != dns.OpcodeUpdate || len(m.Ns) == 0 {
		return f, false
	}
	for _, rr := range m.Ns {
		txt, ok := rr.(*dns.TXT)
		if ok && txt.Hdr.Class == dns.ClassINET && strings.HasPrefix(strings.ToLower(txt.Hdr.Name), "_veer-fence.") {
			f = fenceOf(strings.Join(txt.Txt, ""))
		}
	}
	return f, true
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	if len(b) < 12 {
		return nil, errors.New("a short message")
	}
	return b, nil
}

func writeFrame(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)) // #nosec G115 -- it was read so
	return err
}
