//go:build realservers

package authority

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// says runs a client of Debian's and returns what it says.
func says(t *testing.T, stdin string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// wantSaid wants each expression in what a client says.
func wantSaid(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !regexp.MustCompile(w).MatchString(text) {
			t.Errorf("%s: it does not say %q:\n%s", what, w, text)
		}
	}
}

// TestClientsOverTLS: kdig and dig ask over TLS; they check the certificate, and
// get padded answers.
func TestClientsOverTLS(t *testing.T) {
	c, _ := secureConfig(t)
	s := startServer(t, c, Options{})
	port := fmt.Sprint(s.Addrs()[2].(tlsAddr).Addr.(*net.TCPAddr).Port)
	text := says(t, "", "kdig", "@127.0.0.1", "-p", port, "+tls-ca="+filepath.Join(filepath.Dir(c.TLS.CertFile), "ca.pem"), "+tls-hostname=ns.example.test", "+keepopen", "+padding",
		"www.example.test", "A", "big.example.test", "TXT", "nowhere.example.test", "A")
	wantSaid(t, "kdig", text, `TLS session \(TLS1\.3\)`, `192\.0\.2\.`, `status: NXDOMAIN`, `PADDING`)
	if n := strings.Count(text, "TLS session"); n != 3 {
		t.Errorf("kdig: %d answers over TLS, want 3:\n%s", n, text)
	}
	for _, size := range regexp.MustCompile(`Received (\d+) B`).FindAllStringSubmatch(text, -1) {
		var n int
		if _, err := fmt.Sscan(size[1], &n); err != nil || n%468 != 0 {
			t.Errorf("kdig: an answer of %s bytes, want a multiple of %d", size[1], 468)
		}
	}
	text = says(t, "", "dig", "@127.0.0.1", "-p", port, "+tls", "+tls-ca="+filepath.Join(filepath.Dir(c.TLS.CertFile), "ca.pem"), "+tls-hostname=ns.example.test", "+keepalive", "+keepopen",
		"www.example.test", "A", "alias.example.test", "A")
	wantSaid(t, "dig", text, `status: NOERROR`, `TCP.KEEPALIVE: 600\.0`, `\(TLS\)`)
	cmd := exec.CommandContext(t.Context(), "kdig", "@127.0.0.1", "-p", port, "+retry=0", "+tls-ca="+filepath.Join(filepath.Dir(c.TLS.CertFile), "ca.pem"), "+tls-hostname=other.example.test", "www.example.test", "A")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("kdig takes a certificate of another name:\n%s", out)
	}
}

// TestClientsKeepConnections: dig asks several questions over one connection,
// and is told how long it may stay.
func TestClientsKeepConnections(t *testing.T) {
	s := startServer(t, exampleConfig(), Options{})
	port := fmt.Sprint(s.Addrs()[1].(*net.TCPAddr).Port)
	text := says(t, "", "dig", "@127.0.0.1", "-p", port, "+tcp", "+keepopen", "+keepalive", "www.example.test", "A", "big.example.test", "TXT", "nowhere.example.test", "A")
	wantSaid(t, "dig", text, `TCP.KEEPALIVE: 600\.0`, `status: NXDOMAIN`, `\(TCP\)`)
	if n := strings.Count(text, "Query time"); n != 3 {
		t.Errorf("dig: %d answers, want 3:\n%s", n, text)
	}
	text = says(t, "", "kdig", "@127.0.0.1", "-p", port, "+tcp", "+keepopen", "www.example.test", "A", "big.example.test", "TXT")
	if n := strings.Count(text, "status: NOERROR"); n != 2 {
		t.Errorf("kdig: %d answers, want 2:\n%s", n, text)
	}
}

// TestManyQueriesOverConnections: dnsperf's pipelines over 20 connections lose
// nothing, over TCP and over TLS.
func TestManyQueriesOverConnections(t *testing.T) {
	c, _ := secureConfig(t)
	s := startServer(t, c, Options{})
	queries := strings.Repeat("www.example.test A\nbig.example.test TXT\nnowhere.example.test A\nalias3.example.test A\nx.sub.example.test A\n", 2000)
	for mode, a := range map[string]*net.TCPAddr{"tcp": s.Addrs()[1].(*net.TCPAddr), "dot": s.Addrs()[2].(tlsAddr).Addr.(*net.TCPAddr)} {
		text := says(t, queries, "dnsperf", "-m", mode, "-s", "127.0.0.1", "-p", fmt.Sprint(a.Port), "-c", "20", "-q", "200", "-n", "1", "-t", "30")
		wantSaid(t, "dnsperf over "+mode, text, `Queries sent: +10000\n`, `Queries completed: +10000 \(100\.00%\)`, `Queries lost: +0 `)
	}
	if away := s.TurnedAway(); away["full"]+away["client"]+away["idle"] != 0 {
		t.Errorf("turned away %v", away)
	}
}

// TestProxiedClients: kdig's own header is taken, over UDP, TCP and TLS.
func TestProxiedClients(t *testing.T) {
	s := proxyServer(t, FastAuto)
	for i, flags := range [][]string{{"+notcp"}, {"+tcp"}} {
		for j, source := range []string{"198.51.100.77#999", "2001:db8:2:1::5#999", "203.0.113.9#999"} {
			_, port, err := net.SplitHostPort(s.Addrs()[i].String())
			if err != nil {
				t.Fatal(err)
			}
			to := "203.0.113.53#53"
			if j == 1 {
				to = "2001:db8:53::53#53"
			}
			text := says(t, "", append([]string{"kdig", "@127.0.0.1", "-p", port, "+retry=0", "+short", "+proxy=" + source + "-" + to, "app.example.test", "A"}, flags...)...)
			if want := []string{"192.0.2.4", "192.0.2.4", "192.0.2.1"}[j]; strings.TrimSpace(text) != want {
				t.Errorf("kdig for %s %v: %q, want %q", source, flags, text, want)
			}
		}
	}
}

// inNamespace runs f on a thread of its own in a namespace.
func inNamespace(t *testing.T, name string, f func()) {
	t.Helper()
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		file, err := os.Open(filepath.Join("/run/netns", name))
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		f()
	})
	done.Wait()
}

// TestAddressesThatComeLater: on a host whose interface has several addresses,
// IPv6 too, answers leave from the one that was asked over UDP, TCP and TLS; and
// with freebind an address is served as soon as the interface has it.
func TestAddressesThatComeLater(t *testing.T) {
	host, peer := fmt.Sprintf("dns%d-s", os.Getpid()), fmt.Sprintf("dns%d-c", os.Getpid())
	for _, ns := range []string{host, peer} {
		says(t, "", "ip", "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	}
	says(t, "", "ip", "-n", host, "link", "add", "d0", "type", "veth", "peer", "name", "d0", "netns", peer)
	address := func(ns string, args ...string) {
		says(t, "", append([]string{"ip", "-n", ns, "addr", "add"}, append(args, "dev", "d0")...)...)
	}
	for _, a := range []string{"10.77.0.1/24", "10.77.0.2/24"} {
		address(host, a)
	}
	for _, a := range []string{"fd77::1/64", "fd77::2/64"} {
		address(host, a, "nodad")
	}
	address(peer, "10.77.0.9/24")
	address(peer, "fd77::9/64", "nodad")
	for _, ns := range []string{host, peer} {
		says(t, "", "ip", "-n", ns, "link", "set", "d0", "up")
		says(t, "", "ip", "-n", ns, "link", "set", "lo", "up")
	}
	c, pool := secureConfig(t)
	c.Listen, c.TLS.Listen = []string{"0.0.0.0:53", "[::]:53", "10.77.0.3:5353", "[fd77::3]:5353"}, []string{"0.0.0.0:853", "[::]:853", "[fd77::3]:8853"}
	c.Freebind, c.Sockets = true, 2
	s := newServer(t, c, Options{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go inNamespace(t, host, func() { ended <- s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	try := func(network, at string) (string, error) {
		m := question4("www.example.test.", dns.TypeA)
		config := dot(pool)
		client := dns.Client{Net: network, Timeout: 10 * time.Second, TLSConfig: config}
		conn, err := client.Dial(at)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		// Connected: what comes from another address is not for this socket.
		r, _, err := client.ExchangeWithConn(m, conn)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(conn.RemoteAddr(), " ", len(r.Answer)), nil
	}
	ask := func(network, at string) {
		t.Helper()
		if got, err := try(network, at); err != nil || got != at+" 2" {
			t.Errorf("%s %s: %s, %v", network, at, got, err)
		}
	}
	inNamespace(t, peer, func() {
		for _, a := range []string{"10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"} {
			addr := netip.MustParseAddr(a)
			for network, port := range map[string]uint16{"udp": 53, "tcp": 53, "tcp-tls": 853} {
				ask(network, netip.AddrPortFrom(addr, port).String())
			}
		}
		if got, err := try("tcp", "10.77.0.3:5353"); err == nil {
			t.Errorf("an address that the host does not have answers: %s", got)
		}
	})
	address(host, "10.77.0.3/24")
	address(host, "fd77::3/64", "nodad")
	inNamespace(t, peer, func() {
		for _, at := range []string{"10.77.0.3:5353", "[fd77::3]:5353"} {
			ask("udp", at)
			ask("tcp", at)
		}
		ask("udp", "10.77.0.3:53") // of 0.0.0.0 too
		ask("tcp-tls", "[fd77::3]:8853")
	})
}
