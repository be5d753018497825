//go:build realservers

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const imageConfig = `owner: shop
regions: [eu-west]
host: {region: eu-west}
providers:
  here: {kind: authority, listen: ["127.0.0.1:%d"], zones: [{name: example.org, file: example.org.zone}]}
monitors:
  dns: {kind: tcp, port: %[1]d, interval: 500ms, timeout: 250ms}
services:
  - name: app.example.org
    monitor: dns
    pools: [{region: eu-west, endpoints: [127.0.0.1]}]
    failback: {window: {days: [mon-fri], from: "02:00", to: "05:00", location: Europe/Paris}}
`

// TestImageRuns assembles the image as its definition says, and runs it, as its
// user, in a root that has nothing else: no /proc, no /dev, no time zones.
func TestImageRuns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test makes a chroot: run it as root")
	}
	o, dir := of(t, "v1.0.0"), prepared(t, "v1.0.0")
	systems := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(systems, host.os+"-"+host.arch)); err != nil {
		t.Fatal(err)
	}
	if err := image(o, systems); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.out, "image/Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("TARGETARCH=amd64"), []byte("TARGETARCH="+host.arch), 1)
	c, err := assemble(text, filepath.Join(o.out, "image"), root)
	if err != nil {
		t.Fatal(err)
	}

	port := freePort(t)
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("etc/veer/veer.yaml", fmt.Sprintf(imageConfig, port))
	put("etc/veer/example.org.zone", "$TTL 60\n@ SOA ns hostmaster 1 7200 900 1209600 60\n@ NS ns\nns A 127.0.0.1\n")
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), c.command[0], args...)
		cmd.Dir, cmd.Env = "/", c.env
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: c.uid, Gid: c.gid}}
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 30 * time.Second
		return cmd
	}
	var log bytes.Buffer
	daemon := inside(c.command[1:]...)
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	end := time.Now().Add(time.Minute)
	for {
		out, err := inside("query", "app.example.org", "--server", fmt.Sprintf("127.0.0.1:%d", port)).CombinedOutput()
		if err == nil && strings.Contains(string(out), "IN A 127.0.0.1") {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, log.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) {
			_ = daemon.Process.Kill()
			t.Fatalf("no answer: %v\n%s\n%s", err, out, log.String())
		}
	}
	out, err := inside("status").CombinedOutput()
	if !strings.Contains(string(out), "v1.0.0 in eu-west") {
		t.Errorf("status: %v\n%s", err, out)
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("on SIGTERM it ended with %v\n%s", err, log.String())
	}
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
