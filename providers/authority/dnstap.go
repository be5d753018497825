package authority

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/encoding/protowire"
)

// Dnstap says where queries and answers are sent as dnstap messages (dnstap.info)
// over Frame Streams.
type Dnstap struct {
	// Socket is the path of a unix socket, Address a TCP address in place of it.
	Socket  string `yaml:"socket"`
	Address string `yaml:"address"`
	// Sample sends one of so many queries. 0 is 1: every one.
	Sample int `yaml:"sample"`
}

func (d Dnstap) wanted() bool { return d.Socket != "" || d.Address != "" }

func (d Dnstap) check(bad func(field, format string, args ...any)) {
	if d.Sample < 0 || d.Sample > maxSample {
		bad("dnstap.sample", "%d is out of range; expected 1 (every query) to %d (one of so many)", d.Sample, maxSample)
	}
	switch {
	case d.Socket != "" && d.Address != "":
		bad("dnstap.address", "socket and address are both set; expected one of them")
	case !d.wanted() && d != (Dnstap{}):
		bad("dnstap.socket", "neither socket nor address is set; expected the path of a unix socket, or an address like 127.0.0.1:6000")
	case len(d.Socket) > maxSocketPath:
		bad("dnstap.socket", "the path has %d bytes; expected at most %d, which is what a unix socket can have", len(d.Socket), maxSocketPath)
	}
	if _, err := netip.ParseAddrPort(d.Address); d.Address != "" && err != nil {
		bad("dnstap.address", "%q is not an address; expected one like 127.0.0.1:6000", d.Address)
	}
}

const maxSocketPath = 107

// rebase makes the socket's path relative to dir.
func (d Dnstap) rebase(dir string) Dnstap {
	if d.Socket != "" && !filepath.IsAbs(d.Socket) {
		d.Socket = filepath.Join(dir, d.Socket)
	}
	return d
}

// dnstapWriter sends what its tap takes, and drops it while nobody takes it.
type dnstapWriter struct {
	config            Dnstap
	identity, version string
	tap               *tap
	log               zerolog.Logger
}

// Times of a dnstap connection.
const (
	dnstapTimeout = 5 * time.Second
	dnstapPause   = time.Second
	dnstapPauses  = time.Minute // the longest
)

func (d *dnstapWriter) run(ctx context.Context) {
	for pause := dnstapPause; ; pause = min(2*pause, dnstapPauses) {
		began := time.Now()
		err := d.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > dnstapPauses {
			pause = dnstapPause
		}
		d.log.Warn().Err(err).Dur("again_in_ms", pause).Msg("dnstap messages are not taken; they are dropped until they are")
		d.discard(ctx, pause)
	}
}

// discard drops what comes for a while.
func (d *dnstapWriter) discard(ctx context.Context, while time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, while)
	defer cancel()
	d.tap.run(ctx, func(*observation) { d.tap.dropped.Add(1) })
}

// session connects, and sends until something fails or ctx ends.
func (d *dnstapWriter) session(ctx context.Context) error {
	network, address := "unix", d.config.Socket
	if address == "" {
		network, address = "tcp", d.config.Address
	}
	dialer := net.Dialer{Timeout: dnstapTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // both sides are done
	s := &frames{conn: conn, out: bufio.NewWriterSize(conn, 1<<16)}
	if err := s.begin(); err != nil {
		return fmt.Errorf("begin a stream of frames with %s: %w", address, err)
	}
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return s.end()
		case o := <-d.tap.full:
			err := conn.SetDeadline(time.Now().Add(dnstapTimeout)) // the buffer may be full before it is flushed
			buf = d.message(buf[:0], o, false)
			err = errors.Join(err, s.write(buf))
			buf = d.message(buf[:0], o, true)
			err = errors.Join(err, s.write(buf))
			d.tap.release(o)
			if len(d.tap.full) == 0 {
				err = errors.Join(err, s.flush())
			}
			if err != nil {
				d.tap.dropped.Add(1)
				return fmt.Errorf("send to %s: %w", address, err)
			}
		}
	}
}

// The numbers of dnstap.proto.
const (
	dnstapIdentity, dnstapVersion, dnstapMessage, dnstapType = 1, 2, 14, 15
	typeMessage                                              = 1

	messageType, messageFamily, messageProtocol    = 1, 2, 3
	messageQueryAddress, messageQueryPort          = 4, 6
	messageQuerySec, messageQueryNano              = 8, 9
	messageQuery, messageZone                      = 10, 11
	messageAnswerSec, messageAnswerNano, messageOf = 12, 13, 14

	authQuery, authResponse = 1, 2
)

// message appends the message of an observation: AUTH_QUERY or AUTH_RESPONSE.
func (d *dnstapWriter) message(out []byte, o *observation, response bool) []byte {
	number := func(b []byte, field protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
	}
	text := func(b []byte, field protowire.Number, data []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), data)
	}
	moment := func(b []byte, sec, nano protowire.Number) []byte {
		b = number(b, sec, uint64(o.at.Unix()))                                                                        // #nosec G115 -- after 1970
		return protowire.AppendFixed32(protowire.AppendTag(b, nano, protowire.Fixed32Type), uint32(o.at.Nanosecond())) // #nosec G115 -- below 1e9
	}
	kind, family, protocol := uint64(authQuery), uint64(2), uint64(min(o.from.over, 2))+1 // UDP, TCP, DoT
	if response {
		kind = authResponse
	}
	if o.from.addr.Is4() {
		family = 1
	}
	m := number(nil, messageType, kind)
	m = number(number(m, messageFamily, family), messageProtocol, protocol)
	m = number(text(m, messageQueryAddress, o.from.addr.AsSlice()), messageQueryPort, uint64(o.from.port))
	// A query is answered at once: one moment is both.
	m = moment(m, messageQuerySec, messageQueryNano)
	if response {
		m = text(moment(m, messageAnswerSec, messageAnswerNano), messageOf, o.answer)
	} else {
		m = text(m, messageQuery, o.query)
	}
	if o.zone != "" {
		m = text(m, messageZone, []byte(o.zone))
	}
	if d.identity != "" {
		out = text(out, dnstapIdentity, []byte(d.identity))
	}
	out = text(out, dnstapVersion, []byte(cmp.Or(d.version, "veer")))
	return number(text(out, dnstapMessage, m), dnstapType, typeMessage)
}

// frames is the sending side of a bidirectional Frame Stream: data frames behind
// their length, control frames behind a length of 0.
type frames struct {
	conn net.Conn
	out  *bufio.Writer
}

// The control frames, their one field, and what the frames hold.
const (
	frameAccept, frameStart, frameStop, frameReady, frameFinish = 1, 2, 3, 4, 5
	fieldContentType                                            = 1
	dnstapContent                                               = "protobuf:dnstap.Dnstap"
	maxControl                                                  = 512
)

// begin says what will be sent, and waits until the other side takes that.
func (s *frames) begin() error {
	if err := s.conn.SetDeadline(time.Now().Add(dnstapTimeout)); err != nil {
		return err
	}
	if err := errors.Join(s.control(frameReady, true), s.out.Flush()); err != nil {
		return err
	}
	if err := s.await(frameAccept); err != nil {
		return err
	}
	return errors.Join(s.control(frameStart, true), s.flush())
}

// end says that nothing follows, and waits until the other side has all.
func (s *frames) end() error {
	if err := s.conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if err := errors.Join(s.control(frameStop, false), s.out.Flush()); err != nil {
		return err
	}
	return s.await(frameFinish)
}

func (s *frames) control(kind uint32, content bool) error {
	b := binary.BigEndian.AppendUint32(nil, kind)
	if content {
		b = binary.BigEndian.AppendUint32(b, fieldContentType)
		b = binary.BigEndian.AppendUint32(b, uint32(len(dnstapContent)))
		b = append(b, dnstapContent...)
	}
	return errors.Join(s.write(nil), s.write(b))
}

// await reads the one control frame that may come now.
func (s *frames) await(kind uint32) error {
	var head [12]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		return err
	}
	escape, size, got := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if escape != 0 || size < 4 || size > maxControl || got != kind {
		return fmt.Errorf("it sent a frame of length %d, %d bytes of control, kind %d; expected a control frame of kind %d", escape, size, got, kind)
	}
	rest := make([]byte, size-4)
	if _, err := io.ReadFull(s.conn, rest); err != nil {
		return err
	}
	return accepts(rest)
}

// accepts checks the fields of a control frame: where content types are named,
// ours must be one.
func accepts(fields []byte) error {
	named := false
	for len(fields) > 0 {
		if len(fields) < 8 {
			return errors.New("it sent a control frame that is cut off")
		}
		kind, size := binary.BigEndian.Uint32(fields), binary.BigEndian.Uint32(fields[4:])
		if fields = fields[8:]; uint64(size) > uint64(len(fields)) {
			return errors.New("it sent a control frame that is cut off")
		}
		if kind == fieldContentType {
			if string(fields[:size]) == dnstapContent {
				return nil
			}
			named = true
		}
		fields = fields[size:]
	}
	if named {
		return errors.New("it takes no dnstap: expected the content type " + dnstapContent)
	}
	return nil
}

// write writes a data frame; of no data, what a control frame begins with.
func (s *frames) write(data []byte) error {
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(data))) // #nosec G115 -- a message
	_, err := s.out.Write(size[:])
	if err == nil {
		_, err = s.out.Write(data)
	}
	return err
}

// flush sends what was written. All of it may take the time-out.
func (s *frames) flush() error {
	if err := s.conn.SetDeadline(time.Now().Add(dnstapTimeout)); err != nil {
		return err
	}
	return s.out.Flush()
}
