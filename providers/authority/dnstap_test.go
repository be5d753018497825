package authority

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"google.golang.org/protobuf/encoding/protowire"
)

// tapReader is who takes dnstap messages: the receiving side of a bidirectional
// Frame Stream.
type tapReader struct {
	net.Listener
	conns sync.WaitGroup

	mu       sync.Mutex
	frames   [][]byte
	sessions int
	err      error
}

func newTapReader(t *testing.T, path string) *tapReader {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r := &tapReader{Listener: l}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.conns.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				err := r.read(conn)
				r.mu.Lock()
				defer r.mu.Unlock()
				r.err = errors.Join(r.err, err)
			})
		}
	})
	t.Cleanup(func() { stop(); r.Close(); r.conns.Wait() })
	return r
}

// controlFrame is a control frame, with our content type or none.
func controlFrame(kind uint32, content string) []byte {
	out := make([]byte, 4)
	size := uint32(4)
	if content != "" {
		size += 8 + uint32(len(content))
	}
	out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(out, size), kind)
	if content != "" {
		out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(out, fieldContentType), uint32(len(content)))
	}
	return append(out, content...)
}

// read reads one session to its end.
func (r *tapReader) read(conn io.ReadWriter) error {
	in := bufio.NewReader(conn)
	expect := func(kind uint32, content string) error {
		want := controlFrame(kind, content)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("got the frame %x, %v; want %x", got, err, want)
		}
		return nil
	}
	if err := expect(frameReady, dnstapContent); err != nil {
		return err
	}
	if _, err := conn.Write(controlFrame(frameAccept, dnstapContent)); err != nil {
		return err
	}
	if err := expect(frameStart, dnstapContent); err != nil {
		return err
	}
	r.mu.Lock()
	r.sessions++
	r.mu.Unlock()
	for {
		head, err := in.Peek(4)
		if err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head)
		if size == 0 {
			if err := expect(frameStop, ""); err != nil {
				return err
			}
			_, err := conn.Write(controlFrame(frameFinish, ""))
			return err
		}
		frame := make([]byte, 4+size)
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		r.mu.Lock()
		r.frames = append(r.frames, frame[4:])
		r.mu.Unlock()
	}
}

// took waits for so many frames.
func (r *tapReader) took(n int) [][]byte {
	return waitFor(func() ([][]byte, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Clone(r.frames), len(r.frames) >= n
	})
}

// fieldsOf reads the fields of a protobuf message, none of which is repeated.
func fieldsOf(t *testing.T, data []byte) map[protowire.Number]any {
	t.Helper()
	out := make(map[protowire.Number]any)
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		data = data[n:]
		switch kind {
		case protowire.VarintType:
			out[number], n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			out[number], n = protowire.ConsumeFixed32(data)
		case protowire.BytesType:
			out[number], n = protowire.ConsumeBytes(data)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		data = data[n:]
	}
	return out
}

// tapServer serves the example zone with dnstap to a socket.
func tapServer(t *testing.T, socket, way string) *Server {
	t.Helper()
	c := exampleConfig()
	c.Fast, c.Identity, c.Version, c.Dnstap = way, "ns1", "v1", Dnstap{Socket: socket}
	return startServer(t, c, Options{})
}

// TestDnstap: of each query one message, and one of its answer, with who asked,
// how, when, and the bytes that went over the wire; and the stream is ended as
// it should be.
func TestDnstap(t *testing.T) {
	for _, way := range ways {
		socket := filepath.Join(t.TempDir(), "tap")
		r := newTapReader(t, socket)
		c := exampleConfig()
		c.Fast, c.Identity, c.Version, c.Dnstap = way, "ns1", "v1", Dnstap{Socket: socket}
		s := newServer(t, c, Options{})
		stop := runServer(t, s)
		before := time.Now()
		for i, network := range []string{"udp", "tcp"} {
			conn, err := dns.Dial(network, s.Addrs()[i].String())
			if err != nil {
				t.Fatal(err)
			}
			m := new(dns.Msg)
			m.SetQuestion("wWw.example.test.", dns.TypeA)
			packet, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(packet); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 4096)
			n, err := conn.Read(answer)
			if err != nil {
				t.Fatal(err)
			}
			frames := r.took(2*i + 2)[2*i:]
			if len(frames) != 2 {
				t.Fatalf("%s: %d messages, want 2 a query", way, len(frames))
			}
			port := uint64(peerOf(conn.LocalAddr(), overUDP).port)
			for j, frame := range frames {
				whole := fieldsOf(t, frame)
				if string(whole[1].([]byte)) != "ns1" || string(whole[2].([]byte)) != "v1" || whole[15] != uint64(1) {
					t.Errorf("%s: %v", way, whole)
				}
				got := fieldsOf(t, whole[14].([]byte))
				at := time.Unix(int64(got[8].(uint64)), int64(got[9].(uint32)))
				if at.Before(before.Truncate(0)) || at.After(time.Now()) {
					t.Errorf("%s: a query of %s, which came after %s", way, at, before)
				}
				delete(got, 8)
				delete(got, 9)
				want := map[protowire.Number]any{
					1: uint64(j + 1), 2: uint64(1), 3: uint64(i + 1), 4: []byte{127, 0, 0, 1}, 6: port, 11: []byte("\x07example\x04test\x00"),
				}
				if j == 0 {
					want[10] = packet
				} else {
					want[14] = answer[:n]
					if got[12] == nil || got[13] == nil {
						t.Errorf("%s: an answer without a time", way)
					}
					delete(got, 12)
					delete(got, 13)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s over %s: message %v, want %v", way, network, got, want)
				}
			}
			conn.Close()
		}
		stop()
		r.Close()
		r.conns.Wait()
		if r.err != nil || r.sessions != 1 || s.Dropped()[tapDnstap] != 0 {
			t.Errorf("%s: %d sessions, error %v, dropped %v", way, r.sessions, r.err, s.Dropped())
		}
	}
}

// TestDnstapComesBack: while nobody takes messages they are dropped and
// counted, queries are answered, and who comes then gets what follows.
func TestDnstapComesBack(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "tap")
	s := tapServer(t, socket, FastAuto)
	exchange(t, s.Addrs()[0], "www.example.test.", dns.TypeA)
	if n := waitFor(func() (uint64, bool) { n := s.Dropped()[tapDnstap]; return n, n > 0 }); n != 1 {
		t.Errorf("%d messages were dropped, want 1", n)
	}
	r := newTapReader(t, socket)
	waitFor(func() (int, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return 0, r.sessions > 0
	})
	dropped := s.Dropped()[tapDnstap]
	exchange(t, s.Addrs()[0], "www.example.test.", dns.TypeA)
	if n := len(r.took(2)); n < 2 {
		t.Errorf("who comes back gets %d messages, want 2", n)
	}
	if n := s.Dropped()[tapDnstap]; n != dropped {
		t.Errorf("%d messages were dropped although somebody takes them", n-dropped)
	}
}

// TestDnstapIsNotTaken: who takes no dnstap, talks nonsense or nothing at all,
// or stops reading, is left, with why.
func TestDnstapIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		says []byte
		want string
	}{
		"another content":    {controlFrame(frameAccept, "protobuf:other"), "it takes no dnstap"},
		"another frame":      {controlFrame(frameFinish, dnstapContent), "expected a control frame of kind 1"},
		"data":               {[]byte{0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0}, "it sent a frame of length 9"},
		"a huge frame":       {[]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}, "4294967295 bytes of control"},
		"a field too long":   {[]byte{0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 99}, "cut off"},
		"half a field":       {[]byte{0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0}, "cut off"},
		"the end":            {nil, "EOF"},
		"no content is fine": {controlFrame(frameAccept, ""), ""},
	} {
		ours, theirs := net.Pipe()
		go func() {
			in := make([]byte, len(controlFrame(frameReady, dnstapContent)))
			io.ReadFull(theirs, in) //nolint:errcheck // what it is shows in TestDnstap
			theirs.Write(c.says)    //nolint:errcheck // the same
			if c.want == "" {
				io.ReadFull(theirs, in) //nolint:errcheck // the start
			}
			theirs.Close()
		}()
		s := &frames{conn: ours, out: bufio.NewWriter(ours)}
		err := s.begin()
		if (err == nil) != (c.want == "") || err != nil && !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		ours.Close()
	}
}

// TestDnstapReaderThatStops: who takes the stream and reads no more of it holds
// up no query; the stream ends after its time-out.
func TestDnstapReaderThatStops(t *testing.T) {
	to := newTap(1)
	a, packet := tapped(t, to)
	path := filepath.Join(t.TempDir(), "tap")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	started := make(chan struct{})
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := make([]byte, len(controlFrame(frameReady, dnstapContent)))
		io.ReadFull(conn, in)                                //nolint:errcheck // TestDnstap's matter
		conn.Write(controlFrame(frameAccept, dnstapContent)) //nolint:errcheck // the same
		close(started)
		<-t.Context().Done()
	}()
	ctx, stop := context.WithCancel(t.Context())
	d := &dnstapWriter{config: Dnstap{Socket: path}, tap: to, log: quiet()}
	ended := make(chan error, 1)
	go func() { ended <- d.session(ctx) }()
	<-started
	buf := make([]byte, dns.MaxMsgSize)
	defer stop()
	for { // until all buffers have been full for dnstapTimeout
		select {
		case err := <-ended:
			if err == nil || to.dropped.Load() == 0 {
				t.Errorf("a reader that stopped is left with error %v, and %d queries dropped", err, to.dropped.Load())
			}
			return
		default:
			if size, _ := a.respond(buf, copy(buf, packet)); size == 0 {
				t.Fatal("a query is not answered")
			}
		}
	}
}

// FuzzFrames: whatever the other side says, it is taken or refused.
func FuzzFrames(f *testing.F) {
	for _, seed := range [][]byte{controlFrame(frameAccept, dnstapContent), controlFrame(frameAccept, ""), controlFrame(frameFinish, ""), {0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 99}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		s := &frames{conn: readOnly{r: bytes.NewReader(says)}}
		err := s.await(frameAccept)
		// A second reading, from the whole of it.
		want := len(says) >= 12 && bytes.Equal(says[:4], make([]byte, 4)) && binary.BigEndian.Uint32(says[8:]) == frameAccept
		if want {
			size := int(binary.BigEndian.Uint32(says[4:]))
			want = size >= 4 && size <= maxControl && len(says) >= 8+size && accepts(says[12:8+size]) == nil
		}
		if (err == nil) != want {
			t.Errorf("%x: error %v, want it to be taken: %v", says, err, want)
		}
	})
}

type readOnly struct {
	net.Conn
	r io.Reader
}

func (r readOnly) Read(b []byte) (int, error) { return r.r.Read(b) }
