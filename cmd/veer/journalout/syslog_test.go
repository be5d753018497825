package journalout

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// collector is a syslog server: TLS, octets counted (RFC 5425).
type collector struct {
	t    *testing.T
	l    net.Listener
	all  sync.WaitGroup
	news chan struct{}

	mu    sync.Mutex
	conns []net.Conn
	lines [][]byte
}

// rfc5424 is a header without structured data.
var rfc5424 = regexp.MustCompile(`^<109>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]{1,255} veer \d+ (begin|decision|note|gap) - `)

func startCollector(t *testing.T) (*collector, SyslogConfig) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{t: t, l: l, news: make(chan struct{}, 1000)}
	c.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			c.all.Go(func() { c.read(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); c.hangUp(); c.all.Wait() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return c, SyslogConfig{Server: l.Addr().String(), CAFile: ca}
}

func (c *collector) read(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		text, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(text, " "))
		if err != nil || n < 1 || n > 8192 {
			c.t.Errorf("a length of %q", text)
			return
		}
		message := make([]byte, n)
		if _, err := io.ReadFull(r, message); err != nil {
			return
		}
		head := rfc5424.Find(message)
		if head == nil {
			c.t.Errorf("no header of RFC 5424: %.100q", message)
		}
		c.mu.Lock()
		c.lines = append(c.lines, append(message[len(head):], '\n'))
		c.mu.Unlock()
		c.news <- struct{}{}
	}
}

// hangUp ends all connections.
func (c *collector) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func (c *collector) await(n int) {
	c.t.Helper()
	for range n {
		select {
		case <-c.news:
		case <-time.After(30 * time.Second):
			c.t.Fatal("a line did not come")
		}
	}
}

func (c *collector) file() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := filepath.Join(c.t.TempDir(), "lines")
	if err := os.WriteFile(path, bytes.Join(c.lines, nil), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func dial(t *testing.T, c SyslogConfig, from State) *Syslog {
	t.Helper()
	s, err := OpenSyslog(t.Context(), c, origin(nil), from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSyslog: a chain that goes on over broken connections: what was not known
// to be taken comes again, just as it was.
func TestSyslog(t *testing.T) {
	c, conf := startCollector(t)
	s := dial(t, conf, State{})
	clock := time.Now()
	s.now = func() time.Time { return clock }
	for i := range 4 {
		if err := s.Append(t.Context(), KindNote, at{i}, map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	c.await(5)
	if st, err := s.Settle(); err != nil || st.Head.Chain != "" {
		t.Errorf("settled at once: %+v, %v", st, err)
	}
	clock = clock.Add(settleAfter)
	if err := s.Append(t.Context(), KindNote, at{4}, map[string]int{"n": 4}); err != nil {
		t.Fatal(err)
	}
	st, err := s.Settle()
	if err != nil || st.Head.N != 4 || string(st.Place) != `{"revision":3}` {
		t.Errorf("settled %+v, %v", st, err)
	}
	c.await(1)
	c.hangUp()
	<-s.read
	if again, err := s.Settle(); err == nil || again.Head != st.Head {
		t.Errorf("after the end of the connection: %+v, %v", again, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = dial(t, conf, st)
	for i := 4; i < 7; i++ {
		if err := s.Append(t.Context(), KindNote, at{i}, map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	c.await(3)
	head := s.at.Head
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	v, err := Verify([]string{c.file()}, map[string]Head{head.Chain: head}, true)
	if err != nil || v.Finding != nil || !v.Proven || v.Chains[0].Last != 7 || v.Lines != 9 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestSyslogRefusesStrangers: a server that nobody vouches for, or of another
// name, gets nothing.
func TestSyslogRefusesStrangers(t *testing.T) {
	c, conf := startCollector(t)
	for what, change := range map[string]func(*SyslogConfig){
		"no CA": func(c *SyslogConfig) { c.CAFile = "" },
		"name":  func(c *SyslogConfig) { c.Name = "other.example.net" },
	} {
		bad := conf
		change(&bad)
		if s, err := OpenSyslog(t.Context(), bad, origin(nil), State{}); err == nil {
			t.Errorf("%s: it connected", what)
			_ = s.Close()
		}
	}
	if len(c.lines) > 0 {
		t.Errorf("a stranger got %q", c.lines)
	}
}

// TestDigestOfAHugeDecision: what syslog gets of a decision fits, whatever it is
// about, and names the whole by its hash.
func TestDigestOfAHugeDecision(t *testing.T) {
	c, conf := startCollector(t)
	e := steering.Entry{Term: 1 << 62, Seq: 1 << 63, Time: "2026-11-29T12:00:00.123456789Z", Cause: strings.Repeat("<&> ä", 1000)}
	for i := range 300 {
		name := fmt.Sprintf("%s%d.example.test.", strings.Repeat("a.", 110), i)
		e.Decision.Next.Services = append(e.Decision.Next.Services, steering.ServiceState{
			Name: name, Serving: []regions.Name{regions.Name(strings.Repeat("r", 63)), "b", "c", "d"},
			Answer: []providers.RRSet{{Name: name, Type: "A", Data: []string{"192.0.2.1"}}},
		})
		e.Decision.Why = append(e.Decision.Why, steering.Reason{Service: name, Rule: steering.RuleDepart, Text: strings.Repeat("why ", 200)})
	}
	s := dial(t, conf, State{})
	if err := s.Append(t.Context(), KindDecision, at{1}, e); err != nil {
		t.Fatal(err)
	}
	c.await(2)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !bytes.Contains(c.lines[1], []byte(`"more":292`)) || !bytes.Contains(c.lines[1], []byte(`"sha256":"`)) {
		t.Errorf("the digest %s", c.lines[1])
	}
}

// TestSyslogGapAfterABreak: where a record that another connection has sent is
// not in the ledger any more, a chain begins: the old one would have two lines of
// one number.
func TestSyslogGapAfterABreak(t *testing.T) {
	c, conf := startCollector(t)
	s := dial(t, conf, State{})
	clock := time.Now()
	s.now = func() time.Time { return clock }
	note := func(i int) {
		t.Helper()
		if err := s.Append(t.Context(), KindNote, at{i}, map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	note(1)
	clock = clock.Add(settleAfter)
	st, err := s.Settle()
	if err != nil || st.Head.N != 1 {
		t.Fatalf("settled %+v, %v", st, err)
	}
	note(2)
	note(3)
	c.await(4)
	var head Head
	for range 2 { // the second connection settles nothing, either
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s = dial(t, conf, st)
		note(2)
		for i := 4; i < 6; i++ {
			if err := s.Append(t.Context(), KindGap, at{i}, map[string]string{"why": "pruned"}); err != nil {
				t.Fatal(err)
			}
		}
		note(6)
		c.await(5)
		if head = s.at.Head; head.Chain == st.Head.Chain || head.N != 3 {
			t.Errorf("the head is %+v", head)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	v, err := Verify([]string{c.file()}, map[string]Head{head.Chain: head}, true)
	if err != nil || v.Finding != nil || len(v.Chains) != 3 || v.Chains[0].Last != 3 || v.Chains[1].Gaps != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestSyslogThatTakesNothing: a server that does not read is left at once when
// the export ends, and after the time that the config says.
func TestSyslogThatTakesNothing(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	cert.Close()
	for _, ends := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			server := tls.Server(theirs, &tls.Config{Certificates: cert.TLS.Certificates, SessionTicketsDisabled: true})
			s := &Syslog{c: SyslogConfig{Timeout: time.Minute}, host: "a", at: State{Head: NewChain()}, read: make(chan struct{}), now: time.Now}
			s.conn = tls.Client(ours, &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- it is about a server that hangs
			var all sync.WaitGroup
			all.Go(func() { _ = server.Handshake() })
			if err := s.conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			all.Wait()
			go s.listen()
			began := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			all.Go(func() {
				if err := s.Append(ctx, KindBegin, nil, Beginning{}); err == nil {
					t.Error("it was taken")
				}
			})
			synctest.Wait()
			want := s.c.Timeout
			if ends {
				cancel()
				want = 0
			}
			all.Wait()
			_ = s.Close() // a pipe says otherwise than a socket that it is closed
			if took := time.Since(began); took != want {
				t.Errorf("it took %s, expected %s", took, want)
			}
			_ = theirs.Close()
		})
	}
}
