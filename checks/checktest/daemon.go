package checktest

import (
	"bytes"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
)

// Daemon is a real server that a test started.
type Daemon struct {
	cmd *exec.Cmd
	end sync.Once
}

// Start runs a server that stays in the foreground until the test ends, and
// waits until it accepts TCP connections at target. What it printed is logged
// when the test fails.
func Start(t *testing.T, target checks.Target, command string, args ...string) *Daemon {
	t.Helper()
	var printed bytes.Buffer
	d := &Daemon{cmd: exec.Command(command, args...)}
	d.cmd.Stdout, d.cmd.Stderr = &printed, &printed
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Kill()
		if t.Failed() {
			t.Logf("%s printed:\n%s", command, &printed)
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
		if err == nil {
			_ = conn.Close()
			return d
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s does not listen at %s: %v", command, target.Name, err)
		}
	}
}

// Pid is the server's process.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Kill ends the server and waits for it.
func (d *Daemon) Kill() {
	d.end.Do(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait() // It was killed, which is an error.
	})
}
