//go:build realservers

package authority

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Where TestMain is a client of many connections: network, address, how many,
// and the first of the addresses that it comes from.
const idleClient = "VEER_TEST_IDLE_CLIENT"

// TestMain is also the client of TestTenThousandIdleConnections, which needs
// descriptors and memory of its own.
func TestMain(m *testing.M) {
	if order := os.Getenv(idleClient); order != "" {
		if err := idle(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// idle makes connections, asks over each, and holds them until its input ends.
// Then it asks over each again.
func idle(order string) error {
	var network, address string
	var n int
	if _, err := fmt.Sscan(order, &network, &address, &n); err != nil {
		return err
	}
	ask := func(conn net.Conn) error {
		c := &dns.Conn{Conn: conn}
		m := new(dns.Msg)
		m.SetQuestion("big.example.test.", dns.TypeTXT)
		if err := errors.Join(conn.SetDeadline(time.Now().Add(time.Minute)), c.WriteMsg(m)); err != nil {
			return err
		}
		r, err := c.ReadMsg()
		if err == nil && len(r.Answer) != 6 {
			err = fmt.Errorf("answered %v", r)
		}
		return err
	}
	conns := make([]net.Conn, n)
	for i := range conns {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/50), 1)}}
		conn, err := d.Dial("tcp", address)
		if err != nil {
			return err
		}
		if network == "tcp-tls" {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- whose it is does not matter here
		}
		if conns[i] = conn; ask(conn) != nil {
			return fmt.Errorf("connection %d: %w", i, ask(conn))
		}
	}
	fmt.Println("idle")
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	for i, conn := range conns {
		if err := ask(conn); err != nil {
			return fmt.Errorf("connection %d, again: %w", i, err)
		}
	}
	fmt.Println("asked again")
	return nil
}

// TestTenThousandIdleConnections: what they hold, that others are answered
// meanwhile, and that each is still served after.
func TestTenThousandIdleConnections(t *testing.T) {
	for _, c := range []struct{ transport, n, most int }{{1, 10_000, idleBytes}, {2, 2_000, 40 << 10}} {
		config, _ := secureConfig(t)
		config.TCPConnections, config.TCPIdle = c.n+10, 5*time.Minute
		s := startServer(t, config, Options{})
		before := memory()
		a := s.Addrs()[c.transport]
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), idleClient+"="+a.Network()+" "+a.String()+" "+strconv.Itoa(c.n))
		cmd.Stderr = os.Stderr
		in, inErr := cmd.StdinPipe()
		out, outErr := cmd.StdoutPipe()
		if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatal("the client has ended: ", cmd.Wait())
		}
		each := int(memory()-before) / c.n
		t.Logf("%d idle connections over %s: %d bytes each", c.n, a.Network(), each)
		if each > c.most {
			t.Errorf("%d bytes each, want at most %d", each, c.most)
		}
		if tcp, tls := s.Connections(); tcp+tls != c.n {
			t.Errorf("%d and %d are open", tcp, tls)
		}
		for _, a := range s.Addrs()[:2] {
			if r := exchange(t, a, "www.example.test.", dns.TypeA); len(r.Answer) != 2 {
				t.Errorf("%s: %v", a, r)
			}
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != "asked again" {
			t.Errorf("the client says %q", lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}
