package journalout

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// settleAfter is how long a line must have been sent over a connection that
// still stands before it counts as taken: RFC 5425 has no acknowledgement, and
// what was under way when a connection broke is lost without a word. So those
// lines are sent again.
const settleAfter = 5 * time.Second

// Bounds of what a line for syslog says of a decision: a server need take no
// more than 8192 bytes (RFC 5425, section 4.3.1).
const (
	digestMoves = 8
	digestText  = 200
)

// Digest is what syslog is told of a decision.
type Digest struct {
	Term    regions.Term `json:"term"`
	Seq     uint64       `json:"seq"`
	Shard   int          `json:"shard"`
	Config  string       `json:"config"`
	Version string       `json:"version"`
	Time    string       `json:"time"`
	Cause   string       `json:"cause"`
	// Moved are services whose answer is another, More how many are not named.
	Moved []DigestMove `json:"moved,omitempty"`
	More  int          `json:"more,omitempty"`
	// SHA256 is of the whole entry as a line of a file has it as its record.
	SHA256 string `json:"sha256"`
}

// DigestMove is one service of a Digest.
type DigestMove struct {
	Service string         `json:"service"`
	Serving []regions.Name `json:"serving"`
	Rule    steering.Rule  `json:"rule,omitempty"`
	Why     string         `json:"why,omitempty"`
}

func digest(e steering.Entry) (Digest, error) {
	whole, err := json.Marshal(e)
	if err != nil {
		return Digest{}, fmt.Errorf("encode a decision: %w", err)
	}
	sum := sha256.Sum256(whole)
	d := Digest{
		Term: e.Term, Seq: e.Seq, Shard: e.Shard, Config: cutText(e.Config, 64), Version: cutText(e.Version, 64), Time: cutText(e.Time, 64),
		Cause: shorten(e.Cause, 3*digestText), SHA256: hex.EncodeToString(sum[:]),
	}
	moved := e.Moved()
	d.More = max(0, len(moved)-digestMoves)
	for _, name := range moved[:len(moved)-d.More] {
		m := DigestMove{Service: shorten(name, 255)}
		if i := slices.IndexFunc(e.Decision.Next.Services, func(s steering.ServiceState) bool { return s.Name == name }); i >= 0 {
			serving := e.Decision.Next.Services[i].Serving
			m.Serving = serving[:min(len(serving), 3)]
		}
		if i := slices.IndexFunc(e.Decision.Why, func(r steering.Reason) bool { return r.Service == name }); i >= 0 {
			m.Rule, m.Why = e.Decision.Why[i].Rule, shorten(e.Decision.Why[i].Text, digestText)
		}
		d.Moved = append(d.Moved, m)
	}
	return d, nil
}

func shorten(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Syslog sends lines to a syslog server.
type Syslog struct {
	c    SyslogConfig
	o    Origin
	host string
	conn *tls.Conn
	read chan struct{} // closed when the server has ended the connection
	now  func() time.Time

	mu      sync.Mutex
	at      State // of the last line that was sent
	begun   bool  // the chain is of this connection: no other one has sent lines of it
	settled State
	sent    []sentLine
}

// sentLine is how far the output was with a line, and when.
type sentLine struct {
	at    time.Time
	state State
}

var _ Output = (*Syslog)(nil)

// OpenSyslog connects and goes on after the state that Settle returned last. A
// zero state begins a chain. What another connection sent after that state comes
// again just as it was, but where there is a gap now: there a chain begins, since
// the server may have another line of that number.
func OpenSyslog(ctx context.Context, c SyslogConfig, o Origin, from State) (*Syslog, error) {
	if c.Facility == 0 {
		c.Facility = defaultFacility
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	s := &Syslog{c: c, o: o, host: hostName(o.Region), at: from, settled: from, read: make(chan struct{}), now: time.Now}
	conf, err := c.tls()
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: conf}).DialContext(dialing, "tcp", c.Server)
	if err != nil {
		return nil, fmt.Errorf("connect to the syslog server %s: %w", c.Server, err)
	}
	s.conn = conn.(*tls.Conn) // as tls.Dialer says
	go s.listen()
	if from.Head.Chain == "" {
		if err := s.begin(ctx, o.Kept, "this host does not know any more how far it was"); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// begin begins a chain, which goes on from where the one before is.
func (s *Syslog) begin(ctx context.Context, before *Head, why string) error {
	s.at.Head, s.begun = NewChain(), true
	return s.send(ctx, KindBegin, s.at.Place, s.o.beginning(OutputSyslog, before, why))
}

func (c SyslogConfig) tls() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, fmt.Errorf("the syslog server: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if c.Name != "" {
		conf.ServerName = c.Name
	}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile) // #nosec G304 -- the operator names it
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file %s: expected certificates in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// hostName is this host's name as RFC 5424 takes it, or the region.
func hostName(region string) string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = region
	}
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, name)
	if name == "" {
		return "-"
	}
	return name[:min(len(name), 255)]
}

// listen notices that the server ends the connection: it sends nothing else.
func (s *Syslog) listen() {
	defer close(s.read)
	var b [256]byte
	for {
		if _, err := s.conn.Read(b[:]); err != nil {
			return
		}
	}
}

// Place implements Output.
func (s *Syslog) Place() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at.Place
}

// Append implements Output. A line is the same each time that it is sent, so
// that a chain which a server got in parts twice is still one.
func (s *Syslog) Append(ctx context.Context, kind string, place, record any) error {
	if e, ok := record.(steering.Entry); ok {
		d, err := digest(e)
		if err != nil {
			return err
		}
		record = d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == KindGap && !s.begun {
		before := s.at.Head
		if err := s.begin(ctx, &before, "records are missing where it went on"); err != nil {
			return err
		}
	}
	return s.send(ctx, kind, place, record)
}

// send sends the next line. The caller holds mu, or is the only one yet.
func (s *Syslog) send(ctx context.Context, kind string, place, record any) error {
	line, at, err := next(s.at.Head, kind, place, record)
	if err != nil {
		return err
	}
	const notice = 5 // RFC 5424, table 2
	message := fmt.Sprintf("<%d>1 %s %s veer %d %s - %s", s.c.Facility*8+notice, s.now().UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, os.Getpid(), kind, line)
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.c.Timeout)); err != nil {
		return fmt.Errorf("write to syslog: %w", err)
	}
	// A server that takes nothing must not hold a stop up, nor must the goodbye
	// of TLS to it.
	cut := func() { _ = s.conn.NetConn().Close() }
	defer context.AfterFunc(ctx, cut)()
	// RFC 5425, section 4.3: the length in octets, a space, the message.
	if _, err := fmt.Fprintf(s.conn, "%d %s", len(message), message); err != nil {
		cut()
		return fmt.Errorf("write to syslog: %w", err)
	}
	s.at = at
	s.sent = append(s.sent, sentLine{s.now(), s.at})
	return nil
}

// Settle implements Output.
func (s *Syslog) Settle() (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.read:
		return s.settled, errors.New("the syslog server has ended the connection")
	default:
	}
	for len(s.sent) > 0 && s.now().Sub(s.sent[0].at) >= settleAfter {
		s.settled, s.sent = s.sent[0].state, s.sent[1:]
	}
	return s.settled, nil
}

// Close implements Output.
func (s *Syslog) Close() error {
	err := s.conn.Close()
	<-s.read
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the connection to syslog: %w", err)
	}
	return nil
}
