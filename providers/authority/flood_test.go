package authority

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

var (
	errAnswered = errors.New("a response was answered")
	errHonest   = errors.New("an honest query was not answered rightly")
	errFault    = errors.New("a query could not be answered, the log says")
)

// TestMalformedFlood: among packets that are no queries in good form, and
// responses as a reflector sends them, every honest query is answered, no
// response is, and no query ends in a fault. `make bench-dns-flood` measures what
// it costs.
func TestMalformedFlood(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			c := exampleConfig()
			c.Fast = way
			var log lockedBuffer
			s := startServer(t, c, Options{Log: zerolog.New(&log)})
			if err := floodServer(t, s.Addrs()[0].String(), answerWait); err != nil {
				t.Error(err)
			}
			if err := faultIn(&log); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMalformedFloodSeesPlantedFaults: what the test above looks for is seen
// when it is there.
func TestMalformedFloodSeesPlantedFaults(t *testing.T) {
	c := exampleConfig()
	table := exampleTable(t)
	answer := func(p []byte) []byte { return responderOf(table).respond(p, make([]byte, dns.MaxMsgSize), true) }
	for _, tt := range []struct {
		name   string
		wait   time.Duration
		answer func(n int, p []byte) []byte
		want   error
	}{
		{"none", answerWait, func(_ int, p []byte) []byte { return answer(p) }, nil},
		{"responses are answered", answerWait, func(_ int, p []byte) []byte {
			if len(p) >= headerSize {
				p[2] &^= 0x80
			}
			return answer(p)
		}, errAnswered},
		{"it stops", briefWait, func(n int, p []byte) []byte {
			if n > 300 {
				return nil
			}
			return answer(p)
		}, errHonest},
		{"it refuses", answerWait, func(n int, p []byte) []byte {
			out := answer(p)
			if n > 300 && out != nil {
				out[3] = out[3]&^15 | dns.RcodeRefused
			}
			return out
		}, errHonest},
	} {
		if err := floodServer(t, fakeUDP(t, tt.answer), tt.wait); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	// A fault in answering is caught, and told in the log.
	var log lockedBuffer
	s := startServer(t, c, Options{Log: zerolog.New(&log)})
	s.table.Store(nil)
	if err := floodServer(t, s.Addrs()[0].String(), briefWait); !errors.Is(err, errHonest) {
		t.Errorf("without a table: %v", err)
	}
	if err := faultIn(&log); !errors.Is(err, errFault) {
		t.Errorf("without a table: %v", err)
	}
}

// fakeUDP answers packets with what a function makes of them.
func fakeUDP(t *testing.T, answer func(n int, p []byte) []byte) string {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadBuffer(readRoom); err != nil { // a busy machine keeps packets waiting
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, dns.MaxMsgSize)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if out := answer(n, slices.Clone(buf[:size])); out != nil {
				if _, err := conn.WriteToUDPAddrPort(out, from); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return conn.LocalAddr().String()
}

// faultIn is the first query that a log says could not be answered.
func faultIn(log *lockedBuffer) error {
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "could not be answered") {
			return fmt.Errorf("%w: %s", errFault, line)
		}
	}
	return nil
}

const (
	floodRounds = 400
	perRound    = 24 // malformed packets, so few that the socket has room for them
)

// floodServer sends a flood to a server, with honest queries in it that are
// waited for so long each.
func floodServer(t *testing.T, at string, wait time.Duration) error {
	var conns [3]net.Conn
	for i := range conns {
		conn, err := net.Dial("udp", at)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[i] = conn
	}
	malformed, responses, honest := conns[0], conns[1], conns[2]
	go io.Copy(io.Discard, malformed) //nolint:errcheck // it ends with the connection
	r := rand.New(rand.NewPCG(5, 5))
	seeds := packetSeeds(t, exampleReference(t))
	for round := range floodRounds {
		for range perRound {
			p := spoilPacket(r, seeds)
			to := malformed
			if len(p) >= headerSize && r.IntN(5) == 0 {
				p[2] |= 0x80
			}
			if len(p) >= headerSize && p[2]&0x80 != 0 {
				to = responses
			}
			if _, err := to.Write(p); err != nil {
				return err
			}
		}
		if err := askHonestly(honest, uint16(round), wait); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	// An answer to a response would stand before that to the query behind it.
	if err := askHonestly(responses, 4711, wait); err != nil {
		return fmt.Errorf("%w: %w", errAnswered, err)
	}
	return nil
}

// askHonestly asks one query, and wants the next packet to be its answer.
func askHonestly(conn net.Conn, id uint16, wait time.Duration) error {
	m := new(dns.Msg)
	m.SetQuestion("www.example.test.", dns.TypeA)
	m.Id = id
	packet, err := m.Pack()
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return fmt.Errorf("%w: %w", errHonest, err)
	}
	var got dns.Msg
	if err := got.Unpack(buf[:n]); err != nil || got.Id != id || got.Rcode != dns.RcodeSuccess || len(got.Answer) != 2 {
		return fmt.Errorf("%w: found %v, %v; expected two addresses for id %d", errHonest, &got, err, id)
	}
	return nil
}

// spoilPacket makes a packet of one of the seeds, which need not be in good form
// either.
func spoilPacket(r *rand.Rand, seeds [][]byte) []byte {
	p := slices.Clone(seeds[r.IntN(len(seeds))])
	if len(p) < headerSize {
		return p
	}
	switch r.IntN(8) {
	case 0:
		p = p[:r.IntN(len(p))]
	case 1:
		p = append(p, make([]byte, r.IntN(600))...)
	case 2: // counts
		binary.BigEndian.PutUint16(p[4+2*r.IntN(4):], uint16(r.IntN(1<<16)))
	case 3: // opcode and flags
		p[2], p[3] = byte(r.IntN(256)), byte(r.IntN(256))
	case 4: // a label
		if len(p) > headerSize {
			p[headerSize] = byte(r.IntN(256))
		}
	case 5: // a name that points to itself, or further
		if len(p) > headerSize+1 {
			p[headerSize], p[headerSize+1] = 0xc0|byte(r.IntN(64)), byte(r.IntN(256))
		}
	case 6:
		for range 1 + r.IntN(6) {
			p[r.IntN(len(p))] ^= 1 << r.IntN(8)
		}
	default:
		p = make([]byte, r.IntN(300))
		for i := range p {
			p[i] = byte(r.IntN(256))
		}
	}
	return p
}
