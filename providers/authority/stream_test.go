package authority

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// inStream is a message as TCP has it.
func inStream(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

// readStream reads one message.
func readStream(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, answer)
	return answer, err
}

func question4(name string, typ uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	return m
}

// askOver asks over a connection that stays open.
func askOver(conn net.Conn, m *dns.Msg) (*dns.Msg, error) {
	c := &dns.Conn{Conn: conn}
	if err := errors.Join(conn.SetDeadline(time.Now().Add(20*time.Second)), c.WriteMsg(m)); err != nil {
		return nil, err
	}
	return c.ReadMsg()
}

// dialFrom connects from an address of loopback.
func dialFrom(t testing.TB, source, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// served reports whether the connection is served; it fails where it is
// neither that nor closed.
func served(t testing.TB, conn net.Conn) bool {
	t.Helper()
	r, err := askOver(conn, question4("www.example.test.", dns.TypeA))
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return false
	}
	if err != nil || len(r.Answer) == 0 {
		t.Fatalf("neither served nor closed: %v, %v", r, err)
	}
	return true
}

// TestPipelineIsAnsweredWhole: queries of every kind, sent without waiting, are
// all answered, in their order (RFC 7766, section 6.2.1.1).
func TestPipelineIsAnsweredWhole(t *testing.T) {
	for _, way := range ways {
		c := exampleConfig()
		c.Fast = way
		s := startServer(t, c, Options{Start: mustAnswers(t, "app.example.test. A 30 192.0.2.1")})
		kinds := []*dns.Msg{
			question4("www.example.test.", dns.TypeA), question4("big.example.test.", dns.TypeTXT), question4("x.sub.example.test.", dns.TypeA),
			question4("alias3.example.test.", dns.TypeA), question4("nowhere.example.test.", dns.TypeA), question4("app.example.test.", dns.TypeA),
			question4("elsewhere.example.", dns.TypeA), chaosQuery("version.bind.", dns.TypeTXT), question4("example.test.", dns.TypeAXFR),
			question4("www.example.test.", dns.TypeA).SetEdns0(1232, true), {MsgHdr: dns.MsgHdr{Opcode: dns.OpcodeNotify}}, {},
		}
		const queries = 3000
		conn := dialFrom(t, "127.0.0.1", s.Addrs()[1].String())
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		var all []byte
		for i := range queries {
			m := kinds[i%len(kinds)].Copy()
			m.Id = uint16(i)
			all = append(all, inStream(t, m)...)
		}
		wrote := make(chan error, 1)
		go func() {
			for part := range slices.Chunk(all, 1447) { // cuts queries in two
				if _, err := conn.Write(part); err != nil {
					wrote <- err
					return
				}
			}
			wrote <- nil
		}()
		for i := range queries {
			answer, err := readStream(conn)
			if err != nil {
				t.Fatalf("%s: answer %d: %v", way, i, err)
			}
			var r dns.Msg
			if err := r.Unpack(answer); err != nil || !r.Response || r.Id != uint16(i) {
				t.Fatalf("%s: answer %d is %v, %v", way, i, &r, err)
			}
			if want := kinds[i%len(kinds)]; len(want.Question) == 1 && r.Question[0] != want.Question[0] {
				t.Fatalf("%s: answer %d is to %v, want %v", way, i, r.Question, want.Question)
			}
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdleConnectionsGiveWay: where seats are short, the connection that has
// been silent longest is closed, not the new one refused.
func TestIdleConnectionsGiveWay(t *testing.T) {
	c := exampleConfig()
	c.TCPConnections = 3
	s := newServer(t, c, Options{})
	s.seats.patience, s.seats.grain = 0, 0
	runServer(t, s)
	var open []net.Conn
	for range 3 {
		conn := dialFrom(t, "127.0.0.1", s.Addrs()[1].String())
		if !served(t, conn) {
			t.Fatal("a connection with a seat is not served")
		}
		open = append(open, conn)
	}
	if !served(t, open[0]) { // it is no longer the one
		t.Fatal("the first is closed")
	}
	if !served(t, dialFrom(t, "127.0.0.1", s.Addrs()[1].String())) {
		t.Error("a fourth connection is refused, while three are idle")
	}
	for i, want := range []bool{true, false, true} {
		if got := served(t, open[i]); got != want {
			t.Errorf("connection %d is served: %v, want %v", i, got, want)
		}
	}
	if got := s.TurnedAway(); got["idle"] != 1 || got["full"]+got["client"] != 0 {
		t.Errorf("counted %v, want one that was idle", got)
	}
}

// TestTheEndClosesConnections, silent ones and those with half a query.
func TestTheEndClosesConnections(t *testing.T) {
	c, pool := secureConfig(t)
	s := newServer(t, c, Options{})
	stop := runServer(t, s)
	secure, err := dialTLS(t, s, dot(pool))
	if err != nil {
		t.Fatal(err)
	}
	conns := []net.Conn{dialFrom(t, "127.0.0.1", s.Addrs()[1].String()), dialFrom(t, "127.0.0.1", s.Addrs()[1].String()), secure}
	for i, conn := range conns {
		if !served(t, conn) {
			t.Fatal("not served")
		}
		if _, err := conn.Write(make([]byte, i)); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	for i, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d is open after the end: %v", i, err)
		}
		conn.Close()
	}
	<-ended
}

// turnedAway waits until so many were turned away for this reason, and fails
// where it is never so many, or more.
func turnedAway(t testing.TB, s *Server, reason string, want uint64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); s.TurnedAway()[reason] < want && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if got := s.TurnedAway()[reason]; got != want {
		t.Errorf("%d were turned away (%s), want %d", got, reason, want)
	}
}

// TestOutOfDescriptors: where the system has no more of them, an idle connection
// gives way too.
func TestOutOfDescriptors(t *testing.T) {
	s := newServer(t, exampleConfig(), Options{})
	s.seats.patience = time.Minute
	runServer(t, s)
	at := s.Addrs()[1].(*net.TCPAddr)
	idle := dialFrom(t, "127.0.0.1", at.String())
	if !served(t, idle) {
		t.Fatal("not served")
	}
	s.seats.mu.Lock()
	first := s.seats.all.first()
	first.heard -= 2 * time.Minute // less than tcp_idle
	s.seats.mu.Unlock()
	clients := takeDescriptors(t, first.conn.(*net.TCPConn))
	// What others gave back meanwhile may serve some.
	for i := 0; i < len(clients) && s.TurnedAway()["idle"] == 0; i++ {
		if err := syscall.Connect(int(clients[i].Fd()), &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
			t.Fatal(err)
		}
		if _, err := clients[i].Write(inStream(t, question4("www.example.test.", dns.TypeA))); err != nil {
			t.Fatal(err)
		}
		if _, err := readStream(clients[i]); err != nil {
			t.Fatal(err)
		}
	}
	if served(t, idle) {
		t.Error("the idle connection is open still")
	}
	turnedAway(t, s, "idle", 1)
}

// takeDescriptors takes all descriptors below that of a connection and some above
// it, and lets the process have no more until the test ends. What is taken are
// sockets that wait 20 seconds for what they read.
func takeDescriptors(t *testing.T, below *net.TCPConn) (taken []*os.File) {
	t.Helper()
	raw, err := below.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	until, last := 0, 0
	if err := raw.Control(func(fd uintptr) { until = int(fd) }); err != nil {
		t.Fatal(err)
	}
	for more := 8; more > 0; {
		if last, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0); err != nil {
			t.Fatal(err)
		}
		if last > until {
			more--
		}
		f := os.NewFile(uintptr(last), "client")
		t.Cleanup(func() { f.Close() })
		taken = append(taken, f)
		if err := syscall.SetsockoptTimeval(last, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 20}); err != nil {
			t.Fatal(err)
		}
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
	less := was
	less.Cur = uint64(last) + 1
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	return taken
}

// TestFullSeatsRefuse: while no connection is idle, new ones are refused.
func TestFullSeatsRefuse(t *testing.T) {
	c := exampleConfig()
	c.TCPConnections, c.TCPConnectionsPerClient = 4, 2
	s := newServer(t, c, Options{})
	s.seats.patience = time.Hour
	runServer(t, s)
	at := s.Addrs()[1].String()
	for _, step := range []struct {
		source string
		served bool
	}{
		{"127.0.0.1", true}, {"127.0.0.1", true}, {"127.0.0.1", false}, // its client's are taken
		{"127.0.0.2", true}, {"127.0.0.3", true}, {"127.0.0.4", false}, // all are taken
	} {
		if got := served(t, dialFrom(t, step.source, at)); got != step.served {
			t.Errorf("a connection of %s is served: %v, want %v", step.source, got, step.served)
		}
	}
	if got := s.TurnedAway(); got["client"] != 1 || got["full"] != 1 || got["idle"] != 0 {
		t.Errorf("counted %v, want one of each limit", got)
	}
	if tcp, tls := s.Connections(); tcp != 4 || tls != 0 {
		t.Errorf("%d and %d connections are open, want 4 and 0", tcp, tls)
	}
}

// TestSlowReaderIsClosed: who asks and does not read is closed after the idle
// time, and others are served meanwhile.
func TestSlowReaderIsClosed(t *testing.T) {
	c := exampleConfig()
	c.TCPIdle = 300 * time.Millisecond
	s := startServer(t, c, Options{})
	slow := dialFrom(t, "127.0.0.1", s.Addrs()[1].String())
	query := inStream(t, question4("big.example.test.", dns.TypeTXT))
	var flood []byte
	for range 1000 {
		flood = append(flood, query...)
	}
	if err := slow.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for { // until the server, which can't write, has closed it
		n, err := slow.Write(flood)
		sent += n
		if err == nil {
			continue
		}
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			break
		}
		t.Fatalf("after %d bytes: %v", sent, err)
	}
	if !served(t, dialFrom(t, "127.0.0.1", s.Addrs()[1].String())) {
		t.Error("others are not served")
	}
	t.Logf("%d bytes of queries without reading", sent)
}

// connectRaw makes a connection that costs this process a descriptor only.
func connectRaw(t *testing.T, at *net.TCPAddr) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// memory is what this process uses of the heap and for stacks.
func memory() uint64 {
	runtime.GC()
	runtime.GC() // what the first one puts aside of pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestIdleConnectionsAreSmall: what a silent connection holds, whatever it
// asked before; and what one that has begun a query does, which shows that the
// measure sees room that is held.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const n = 1000
	const bound = idleBytes
	c := exampleConfig()
	c.TCPConnections, c.TCPConnectionsPerClient = 2*n, 2*n
	s := startServer(t, c, Options{})
	at := s.Addrs()[1].(*net.TCPAddr)
	before := memory()
	var fds []int
	queries := append(inStream(t, question4("www.example.test.", dns.TypeA)), inStream(t, question4("big.example.test.", dns.TypeTXT))...)
	buf := make([]byte, 1<<16)
	for range n {
		fd := connectRaw(t, at)
		if _, err := syscall.Write(fd, queries); err != nil {
			t.Fatal(err)
		}
		answers := 0
		for have := 0; answers < 2; {
			got, err := syscall.Read(fd, buf[have:])
			if err != nil || got == 0 {
				t.Fatalf("read %d: %v", got, err)
			}
			have += got
			for size := wholeMessage(buf[:have]); size >= 0; size = wholeMessage(buf[:have]) {
				have = copy(buf, buf[2+size:have])
				answers++
			}
		}
		fds = append(fds, fd)
	}
	idle := int(memory()-before) / n
	t.Logf("%d bytes an idle connection", idle)
	if idle > bound {
		t.Errorf("%d bytes an idle connection, want at most %d", idle, bound)
	}
	for _, fd := range fds {
		if _, err := syscall.Write(fd, queries[:9]); err != nil {
			t.Fatal(err)
		}
	}
	// Each has read that once another, which asks after them, was answered.
	begun := 0
	for deadline := time.Now().Add(20 * time.Second); begun < idle+queryRoom/2; begun = int(memory()-before) / n {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes a connection with half a query: the measure does not see its room", begun)
		}
		runtime.Gosched()
	}
	t.Logf("%d bytes one with half a query", begun)
}

// stuck is how many connections wait to send.
func stuck() int {
	all := make([]byte, 4<<20)
	all = all[:runtime.Stack(all, true)]
	n := 0
	for g := range bytes.SplitSeq(all, []byte("\n\n")) {
		if bytes.Contains(g, []byte(".(*stream).send(")) && bytes.Contains(g, []byte(").waitWrite(")) {
			n++
		}
	}
	return n
}

// TestSlowReadersHoldLittle: who asks for much and reads nothing makes the server
// hold what waits to be sent, and no more.
func TestSlowReadersHoldLittle(t *testing.T) {
	const n = 100
	const most = answerRoom + 8<<10 // what waits, and the connection itself
	c := exampleConfig()
	s := startServer(t, c, Options{})
	before := memory()
	flood := bytes.Repeat(inStream(t, question4("big.example.test.", dns.TypeTXT)), 2000)
	var fds []int
	for range n {
		fd := connectRaw(t, s.Addrs()[1].(*net.TCPAddr))
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	for deadline := time.Now().Add(time.Minute); stuck() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections wait to send, want %d", stuck(), n)
		}
		for _, fd := range fds {
			for {
				if _, err := syscall.Write(fd, flood); err != nil {
					if !errors.Is(err, syscall.EAGAIN) {
						t.Fatal(err)
					}
					break
				}
			}
		}
	}
	held := int(memory()-before) / n
	t.Logf("%d bytes each", held)
	if held > most {
		t.Errorf("%d bytes each, want at most %d", held, most)
	}
}

// TestKeepalive: the option tells over TCP how long a connection may be silent,
// to who sends it, and is ignored over UDP (RFC 7828, sections 3.3.1, 3.3.2).
func TestKeepalive(t *testing.T) {
	for _, way := range ways {
		c := exampleConfig()
		c.Fast, c.TCPIdle = way, 12300*time.Millisecond
		s := startServer(t, c, Options{})
		for _, q := range []struct {
			transport int
			option    []byte // nil: none
			version   uint8
			want      string
		}{
			{1, []byte{}, 0, "timeout 123"}, {1, []byte{0, 9}, 0, "timeout 123"}, {1, nil, 0, ""}, {1, []byte{}, 1, ""}, {1, []byte{1}, 0, "FORMERR"},
			{0, []byte{}, 0, ""}, {0, nil, 0, ""}, {0, []byte{0, 9}, 0, ""},
		} {
			m := question4("www.example.test.", dns.TypeA).SetEdns0(1232, false)
			m.IsEdns0().SetVersion(q.version)
			if q.option != nil {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE, Data: q.option}}
			}
			a := s.Addrs()[q.transport]
			client := dns.Client{Net: a.Network(), Timeout: 20 * time.Second}
			r, _, err := client.Exchange(m, a.String())
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if opt := r.IsEdns0(); opt != nil {
				for _, o := range opt.Option {
					if k, ok := o.(*dns.EDNS0_TCP_KEEPALIVE); ok {
						got += fmt.Sprintf("timeout %d", k.Timeout)
					}
				}
			}
			if r.Rcode == dns.RcodeFormatError {
				got = "FORMERR"
			}
			if got != q.want {
				t.Errorf("%s over %s, option %x of version %d: %q, want %q", way, a.Network(), q.option, q.version, got, q.want)
			}
		}
	}
}

// TestManyAtOnce: connections that come and go while others ask are all served
// or closed, and their seats come back.
func TestManyAtOnce(t *testing.T) {
	c := exampleConfig()
	c.TCPConnections, c.TCPConnectionsPerClient = 8, 4
	s := newServer(t, c, Options{})
	s.seats.patience = 0
	stop := runServer(t, s)
	done := make(chan string)
	for client := range 12 {
		go func() {
			var problems []string
			for range 50 {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+client%4))}}
				conn, err := d.Dial("tcp", s.Addrs()[1].String())
				if err != nil {
					problems = append(problems, err.Error())
					continue
				}
				for range 3 {
					r, err := askOver(conn, question4("www.example.test.", dns.TypeA))
					if err != nil {
						var slow net.Error
						if errors.As(err, &slow) && slow.Timeout() {
							problems = append(problems, err.Error())
						}
						break
					}
					if len(r.Answer) != 2 {
						problems = append(problems, r.String())
					}
				}
				conn.Close()
			}
			done <- strings.Join(problems, "\n")
		}()
	}
	for range 12 {
		if problems := <-done; problems != "" {
			t.Error(problems)
		}
	}
	stop()
	if tcp, tls := s.Connections(); tcp != 0 || tls != 0 {
		t.Errorf("%d and %d connections are open after the end", tcp, tls)
	}
	if len(s.seats.clients) > 0 {
		t.Errorf("%d clients are remembered that have no connection", len(s.seats.clients))
	}
	t.Logf("turned away %v", s.TurnedAway())
}
