//go:build realservers

package onprem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// host is one that boots systemd, by systemd-nspawn, in a network namespace. What
// it writes is in memory, and gone when it ends.
type host struct {
	region, address string
	ssh             []string // arguments that log in to it
	console         bytes.Buffer
}

// site is the hosts, and the folder with the keys that they are reached by. The
// process is the router between them: see TestMain.
type site struct {
	dir   string
	hosts []*host
}

// regions and addresses are those of the example; the router has .1 of each net.
var places = [][2]string{{"eu-west", "10.0.1"}, {"us-east", "10.1.1"}, {"ap-south", "10.2.1"}}

// patience bounds each wait; only what hangs comes near to it.
const patience = 10 * time.Minute

// boot boots all of them, and waits until each lets the administrator in. They end
// with the test.
func boot(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	s.key(t, "deploy")
	var known strings.Builder
	for i, place := range places {
		h := &host{region: place[0], address: place[1] + ".10"}
		s.hosts = append(s.hosts, h)
		fmt.Fprintf(&known, "%s %s", h.address, s.key(t, h.region))
		h.ssh = append([]string{"-o", "BatchMode=yes", "-o", "ConnectTimeout=1", "-l", "deploy"}, s.sshOptions()...)
		h.start(t, s.dir, connect(t, place[1], fmt.Sprintf("host%d", i)))
	}
	if err := os.WriteFile(filepath.Join(s.dir, "known_hosts"), []byte(known.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.hosts {
		h.wait(t)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range s.hosts {
			log, err := h.try("journalctl --no-pager --quiet -o cat -n 50 -u veer")
			t.Logf("Veer's last words on %s (%v):\n%s", h.region, err, log)
		}
	})
	return s
}

// sshOptions are what an administrator gives the module.
func (s *site) sshOptions() []string {
	return []string{"-i", filepath.Join(s.dir, "deploy"), "-o", "UserKnownHostsFile=" + filepath.Join(s.dir, "known_hosts"), "-F", "none"}
}

// key makes an SSH key, and returns the public half.
func (s *site) key(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(s.dir, name)
	must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file)
	public, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(public)
}

// connect makes a network namespace with the address subnet.10 and this process
// as its router, and returns the path of it. It lasts as long as the test.
func connect(t *testing.T, subnet, device string) string {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatalf("make a network namespace (it needs root): %v", err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	path := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	must(t, "ip", "link", "add", device, "type", "veth", "peer", "name", "up0", "netns", fmt.Sprint(holder.Process.Pid))
	must(t, "ip", "addr", "add", subnet+".1/24", "dev", device)
	must(t, "ip", "link", "set", device, "up")
	for _, args := range []string{"link set lo up", "addr add " + subnet + ".10/24 dev up0", "link set up0 up", "route add default via " + subnet + ".1"} {
		must(t, "nsenter", append([]string{"--net=" + path, "ip"}, strings.Fields(args)...)...)
	}
	return path
}

// start boots the host.
func (h *host) start(t *testing.T, keys, network string) {
	t.Helper()
	bind := func(from, to string) string { return "--bind-ro=" + filepath.Join(keys, from) + ":" + to }
	cmd := exec.Command("../../../.ci/apart", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--link-journal=no", "--resolv-conf=off",
		"--machine="+h.region, "--network-namespace-path="+network, "--console=pipe",
		bind(h.region, "/etc/ssh/ssh_host_ed25519_key"), bind("deploy.pub", "/home/deploy/.ssh/authorized_keys"),
		"-D", os.Getenv(rootOf), "-b")
	cmd.Stdout, cmd.Stderr = &h.console, &h.console
	// On SIGTERM nspawn turns the host off; killed, it would leave it running.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatalf("boot %s: %v", h.region, err)
	}
	ended := make(chan error, 1)
	var reap sync.WaitGroup
	reap.Go(func() { ended <- cmd.Wait() })
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		reap.Wait()
		if t.Failed() {
			t.Logf("console of %s (%v):\n%s", h.region, <-ended, &h.console)
		}
	})
}

// wait waits until the host has booted and lets the administrator in.
func (h *host) wait(t *testing.T) {
	t.Helper()
	var last string
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var c net.Conn
		if c, err = net.DialTimeout("tcp", net.JoinHostPort(h.address, "22"), time.Second); err != nil {
			continue
		}
		_ = c.Close()
		if last, err = h.try("systemctl is-system-running --wait"); err == nil || strings.TrimSpace(last) == "degraded" {
			return
		}
	}
	t.Fatalf("%s has not booted within %s: %v\n%s", h.region, patience, err, last)
}

// try runs a command on the host as root.
func (h *host) try(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args := append(append([]string{}, h.ssh...), "--", h.address, "sudo -n sh -c '"+command+"'")
	out, err := exec.CommandContext(ctx, "ssh", args...).CombinedOutput()
	return string(out), errors.Join(err, ctx.Err())
}

// must is try that may not fail.
func (h *host) must(t *testing.T, command string) string {
	t.Helper()
	out, err := h.try(command)
	if err != nil {
		t.Fatalf("on %s: %s: %v\n%s", h.region, command, err, out)
	}
	return strings.TrimSpace(out)
}

// must runs a command of this machine.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
