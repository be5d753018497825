package authority

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// FuzzTCP: of whatever comes over one connection, in whatever pieces, each whole
// query is answered in its order as it would be alone on the general path, until something comes that
// must not be answered; then the connection ends.
func FuzzTCP(f *testing.F) {
	s, err := New(exampleConfig(), Options{DataDir: f.TempDir(), Log: quiet()})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	<-s.Ready()
	var all []byte
	for i, p := range packetSeeds(f, exampleReference(f)) {
		one := append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
		f.Add(one, uint16(i))
		if len(p) > headerSize && p[2]&0x80 == 0 {
			all = append(all, one...)
		}
	}
	f.Add(all, uint16(7))
	f.Add(all[:len(all)-9], uint16(600))
	f.Add(append(append([]byte{}, all[:len(all)/2]...), 0, 1, 7, 0, 30), uint16(0))
	f.Add([]byte{0}, uint16(0))
	f.Add([]byte{0xff, 0xff, 1}, uint16(0))
	f.Fuzz(func(t *testing.T, in []byte, piece uint16) {
		if len(in) > 1<<14 {
			return
		}
		got, err := sendStream(s.Addrs()[1].String(), in, max(1, int(piece), len(in)/16))
		if err != nil {
			t.Fatal(err)
		}
		alone, room := s.responder(), make([]byte, dns.MaxMsgSize)
		for rest := in; ; {
			n := wholeMessage(rest)
			if n < 0 {
				break
			}
			want := alone.respond(rest[2:2+n], room, false)
			if want == nil {
				break
			}
			rest = rest[2+n:]
			size := wholeMessage(got)
			if size < 0 {
				t.Fatalf("after an answer %x the connection has only %x", want, got)
			}
			if d := cmp.Diff(unpacked(t, want), unpacked(t, got[2:2+size])); d != "" {
				t.Fatalf("a query is answered in a stream otherwise than alone (-alone +stream):\n%s", d)
			}
			got = got[2+size:]
		}
		if len(got) > 0 {
			t.Fatalf("there is more than the answers: %x", got)
		}
	})
}

// unpacked is an answer as miekg/dns reads it, without what the transport says
// of itself.
func unpacked(t *testing.T, packet []byte) *dns.Msg {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		t.Fatalf("the answer %x does not unpack: %v", packet, err)
	}
	m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	return &m
}

// sendStream sends bytes in pieces, and returns all that comes back until the end.
func sendStream(at string, in []byte, piece int) ([]byte, error) {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	sent := make(chan error, 1)
	go func() {
		for len(in) > 0 {
			n, err := conn.Write(in[:min(piece, len(in))])
			if err != nil {
				sent <- err
				return
			}
			in = in[n:]
		}
		sent <- conn.(*net.TCPConn).CloseWrite()
	}()
	out, err := io.ReadAll(conn)
	for _, err := range []error{err, <-sent} {
		// The server ends a connection with bytes unread, which resets it.
		if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ENOTCONN) {
			return out, err
		}
	}
	return out, nil
}
