//go:build realservers

package icmpcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
)

// nobody is a user without capabilities.
const nobody = 65534

// lab is three hosts in a row: the one that probes, a router, and the one
// that is probed.
type lab struct{ prober, router, probed string }

func newLab(t *testing.T) lab {
	t.Helper()
	name := func(host string) string { return fmt.Sprintf("icmp%d-%s", os.Getpid(), host) }
	l := lab{name("a"), name("r"), name("b")}
	for _, ns := range []string{l.prober, l.router, l.probed} {
		command(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { command(t, "ip", "netns", "del", ns) })
		l.ip(t, ns, "link set lo up")
	}
	command(t, "ip", "-n", l.prober, "link", "add", "r0", "type", "veth", "peer", "name", "a0", "netns", l.router)
	command(t, "ip", "-n", l.probed, "link", "add", "r0", "type", "veth", "peer", "name", "b0", "netns", l.router)
	for _, c := range []struct{ ns, command string }{
		{l.prober, "link set r0 up"}, {l.prober, "addr add 10.66.0.1/24 dev r0"}, {l.prober, "-6 addr add fd66::1/64 dev r0 nodad"},
		{l.router, "link set a0 up"}, {l.router, "addr add 10.66.0.2/24 dev a0"}, {l.router, "-6 addr add fd66::2/64 dev a0 nodad"},
		{l.router, "link set b0 up"}, {l.router, "addr add 10.66.1.2/24 dev b0"}, {l.router, "-6 addr add fd66:1::2/64 dev b0 nodad"},
		{l.probed, "link set r0 up"}, {l.probed, "addr add 10.66.1.1/24 dev r0"}, {l.probed, "-6 addr add fd66:1::1/64 dev r0 nodad"},
		{l.probed, "addr add 10.66.1.3/24 dev r0"}, {l.probed, "-6 addr add fd66:1::3/64 dev r0 nodad"}, // answers nothing
		{l.probed, "addr add 10.66.1.4/24 dev r0"}, {l.probed, "-6 addr add fd66:1::4/64 dev r0 nodad"}, // loses every other echo
		{l.probed, "addr add 10.66.1.5/24 dev r0"}, {l.probed, "-6 addr add fd66:1::5/64 dev r0 nodad"}, // likewise
		{l.probed, "route add default via 10.66.1.2"}, {l.probed, "-6 route add default via fd66:1::2"},
		{l.prober, "route add 10.66.0.0/16 via 10.66.0.2"}, {l.prober, "-6 route add fd66::/16 via fd66::2"},
		{l.router, "route add unreachable 10.66.2.0/24"}, {l.router, "-6 route add unreachable fd66:2::/64"},
		{l.router, "route add prohibit 10.66.3.0/24"}, {l.router, "-6 route add prohibit fd66:3::/64"},
		{l.router, "route add 10.66.4.0/24 via 10.66.1.1"}, {l.router, "-6 route add fd66:4::/64 via fd66:1::1"}, // comes back
	} {
		l.ip(t, c.ns, c.command)
	}
	for _, ns := range []string{l.router, l.probed} {
		l.set(t, ns, "net/ipv4/ip_forward", "1")
		l.set(t, ns, "net/ipv6/conf/all/forwarding", "1")
		l.set(t, ns, "net/ipv4/icmp_ratelimit", "0") // Errors come for every echo.
		l.set(t, ns, "net/ipv6/icmp/ratelimit", "0")
	}
	l.rules(t, l.probed, `table inet probed {
 chain in {
  type filter hook input priority 0;
  ip daddr 10.66.1.3 drop
  ip6 daddr fd66:1::3 icmpv6 type echo-request drop
  ip daddr 10.66.1.4 numgen inc mod 2 < 1 drop
  ip6 daddr fd66:1::4 icmpv6 type echo-request numgen inc mod 2 < 1 drop
  ip daddr 10.66.1.5 numgen inc mod 2 < 1 drop
  ip6 daddr fd66:1::5 icmpv6 type echo-request numgen inc mod 2 < 1 drop
 }
}
`)
	l.rules(t, l.prober, `table inet prober {
 chain out {
  type filter hook output priority 0;
  ip daddr 10.66.5.0/24 drop
  ip6 daddr fd66:5::/64 drop
 }
}
`)
	return l
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (l lab) ip(t *testing.T, ns, args string) {
	t.Helper()
	command(t, "ip", append([]string{"-n", ns}, strings.Fields(args)...)...)
}

func (l lab) rules(t *testing.T, ns, rules string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "ip", "netns", "exec", ns, "nft", "-f", file)
}

// set sets a sysctl of the namespace.
func (l lab) set(t *testing.T, ns, name, value string) {
	t.Helper()
	command(t, "ip", "netns", "exec", ns, "sh", "-c", fmt.Sprintf("echo %q > /proc/sys/%s", value, name))
}

// as is a prober that probes from a namespace, as a user. A thread that
// entered is given up afterwards: the Go runtime ends it with its goroutine.
type as struct {
	checks.Prober
	namespace string
	user      int
}

func (p as) Probe(ctx context.Context, target checks.Target) checks.Result {
	done := make(chan checks.Result, 1)
	go func() {
		runtime.LockOSThread() // and never unlock
		if err := enter(p.namespace, p.user); err != nil {
			done <- checks.Result{Reason: "entering the namespace: " + err.Error(), Latency: 1}
			return
		}
		done <- p.Prober.Probe(ctx, target)
	}()
	return <-done
}

// enter changes this thread alone, unlike the functions of syscall.
func enter(namespace string, user int) error {
	fd, err := unix.Open("/run/netns/"+namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return err
	}
	if user == 0 {
		return nil
	}
	id := uintptr(user)
	for _, call := range [][4]uintptr{{unix.SYS_SETGROUPS}, {unix.SYS_SETRESGID, id, id, id}, {unix.SYS_SETRESUID, id, id, id}} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return errno
		}
	}
	return nil
}

// TestNamespace probes real hosts, unprivileged and raw, over IPv4 and IPv6.
func TestNamespace(t *testing.T) {
	l := newLab(t)
	at := func(c Config, user int) checks.Prober {
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return as{p, l.prober, user}
	}
	probe := func(c Config, user int, host string, timeout time.Duration) checks.Result {
		return checktest.Probe(t, at(c, user), checks.Target{Name: "host@" + host, Host: host}, timeout)
	}
	t.Run("not permitted", func(t *testing.T) {
		l.set(t, l.prober, "net/ipv4/ping_group_range", "1 0") // nobody
		for _, host := range []string{"10.66.1.1", "fd66:1::1"} {
			checktest.Expect(t, probe(Config{}, nobody, host, time.Minute), checks.Unknown, "may not send ICMP", "net.ipv4.ping_group_range", "CAP_NET_RAW")
			checktest.Expect(t, probe(Config{Privileged: "raw"}, nobody, host, time.Minute), checks.Unknown, "CAP_NET_RAW")
			checktest.Expect(t, probe(Config{Privileged: "udp"}, 0, host, time.Minute), checks.Unknown, "net.ipv4.ping_group_range")
			checktest.Expect(t, probe(Config{}, 0, host, time.Minute), checks.Up, "3 of 3")
		}
	})
	l.set(t, l.prober, "net/ipv4/ping_group_range", "0 2147483647")
	// The kernel does not tell a udp socket what its firewall drops of IPv6.
	localV6 := map[string]string{"raw": "fd66:5::1"}
	for _, c := range []struct {
		name   string
		config Config
		user   int
	}{{"unprivileged", Config{Privileged: "udp"}, nobody}, {"auto", Config{}, nobody}, {"raw", Config{Privileged: "raw"}, 0}} {
		t.Run(c.name, func(t *testing.T) {
			p := at(c.config, c.user)
			contract(t, subject{up: p, hung: p, upAt: "10.66.1.1", hungAt: "10.66.1.3"})
			contract(t, subject{up: p, hung: p, upAt: "fd66:1::1", hungAt: "fd66:1::3"})
			many := c.config
			many.Count, many.WarnLoss = 8, number(0)
			none := many
			none.MaxLoss, none.WarnLoss = number(49), nil
			large := c.config
			large.Size = 8192
			const wait = 2 * time.Second // for what is lost, and for errors that a router holds back
			var wg sync.WaitGroup
			for _, w := range []struct {
				config Config
				v4, v6 string
				health checks.Health
				words  []string
			}{
				{many, "10.66.1.4", "fd66:1::4", checks.Degraded, []string{"4 of 8 times", "50% were lost, expected at most 0%"}},
				{none, "10.66.1.5", "fd66:1::5", checks.Down, []string{"50% were lost, expected at most 49%"}},
				{large, "10.66.1.1", "fd66:1::1", checks.Up, []string{"3 of 3"}}, // in fragments
				{c.config, "10.66.2.1", "fd66:2::1", checks.Down, []string{", says"}},
				{c.config, "10.66.3.1", "fd66:3::1", checks.Down, []string{"a firewall forbids it, says"}},
				{c.config, "10.66.4.1", "fd66:4::1", checks.Down, []string{"went in circles"}},
				{c.config, "10.66.5.1", localV6[c.config.Privileged], checks.Unknown, []string{"this host's own trouble", "operation not permitted"}},
				{c.config, "10.99.0.1", "fd99::1", checks.Down, []string{"network is unreachable"}},
			} {
				for _, host := range []string{w.v4, w.v6} {
					if host != "" {
						wg.Go(func() { checktest.Expect(t, probe(w.config, c.user, host, wait), w.health, w.words...) })
					}
				}
			}
			wg.Wait()
		})
	}
}

// TestEarlierError requires that an error about one echo does not keep the next
// from being sent, which a udp socket would have it do.
func TestEarlierError(t *testing.T) {
	l := newLab(t)
	l.set(t, l.prober, "net/ipv4/ping_group_range", "0 2147483647")
	for _, kind := range either {
		for _, host := range []string{"10.66.2.1", "fd66:2::1"} {
			done := make(chan error, 1)
			go func() {
				runtime.LockOSThread() // and never unlock
				err := enter(l.prober, 0)
				if err == nil {
					err = sendOn(kind, netip.MustParseAddr(host))
				}
				done <- err
			}()
			if err := <-done; err != nil {
				t.Errorf("%s to %s: %v", kind, host, err)
			}
		}
	}
}

// sendOn sends echoes that each meet an error, and reads the errors last.
func sendOn(kind string, to netip.Addr) error {
	s, err := open(kind, to)
	if err != nil {
		return err
	}
	defer s.Close()
	message, err := request(to.Is6(), s.ID(), 1, make([]byte, 56))
	if err != nil {
		return err
	}
	conn, err := s.(*linuxSocket).file.SyscallConn()
	if err != nil {
		return err
	}
	for range 3 {
		if err := s.Send(message); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		var polled error
		err := conn.Control(func(fd uintptr) { _, polled = unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, 30_000) })
		if err := errors.Join(err, polled); err != nil {
			return fmt.Errorf("waiting for the error: %w", err)
		}
	}
	if _, about, err := s.Receive(make([]byte, 100)); err != nil || about == nil {
		return fmt.Errorf("received %v, %w", about, err)
	}
	return nil
}

// TestNoDescriptorLeft requires that probes leave no socket open.
func TestNoDescriptorLeft(t *testing.T) {
	p, err := New(Config{Count: 1, Privileged: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	target := checks.Target{Name: "host@127.0.0.1", Host: "127.0.0.1"}
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)
	before := count()
	for range 20 {
		checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
