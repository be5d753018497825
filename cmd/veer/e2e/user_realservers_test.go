//go:build realservers

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
)

const userConfig = `owner: e2e
regions: [eu-west]
providers:
  here: {kind: authority, listen: ["127.0.0.1:%d"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: tcp, port: 1, interval: 1s, timeout: 500ms}
  ping: {kind: icmp, privileged: %s, interval: 1s, timeout: 500ms}
services:
  - {name: app.example.test, monitor: web, pools: [{region: eu-west, endpoints: [127.0.0.11]}]}
  - {name: pinged.example.test, monitor: ping, pools: [{region: eu-west, endpoints: [127.0.0.1]}]}
host: {region: eu-west, data_dir: data, http: {listen: "127.0.0.1:%d"}}
`

// lowPort returns a port below 1024 that is free over UDP and TCP.
func lowPort(t *testing.T, not int) int {
	t.Helper()
	for port := 1023; port > 600; port-- {
		if port != not && lab.PortTaken(port, "127.0.0.1") == nil {
			return port
		}
	}
	t.Fatal("no low port is free")
	return 0
}

// userBench is a folder with a config that a daemon of another user can read.
type userBench struct {
	t           *testing.T
	dir, veer   string
	dns, web    int
	nobody, gid string
}

func newUserBench(t *testing.T, veer, privileged string) *userBench {
	t.Helper()
	runtime.LockOSThread() // whose end is the end of every child
	if os.Geteuid() != 0 {
		t.Fatal("this test is about what root gives up: run it as root")
	}
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	b := &userBench{t: t, dir: dir, veer: veer, nobody: u.Uid, gid: u.Gid, dns: lowPort(t, 0)}
	b.web = lowPort(t, b.dns)
	b.write("veer.yaml", fmt.Sprintf(userConfig, b.dns, privileged, b.web))
	b.write("example.test.zone", zoneText+"www A 192.0.2.1\n")
	return b
}

func (b *userBench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// copyOfVeer is the command where every user can run it.
func (b *userBench) copyOfVeer() string {
	b.t.Helper()
	to := filepath.Join(b.dir, "veer")
	text, err := os.ReadFile(b.veer)
	if err == nil {
		err = os.WriteFile(to, text, 0o755)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return to
}

// start starts a daemon, and waits until it leads and serves.
func (b *userBench) start(args ...string) *lab.Process {
	b.t.Helper()
	p, err := lab.Start(lab.Spec{
		Name: "veer", Path: b.veer, Dir: b.dir, Log: filepath.Join(b.dir, "log"),
		Args: append([]string{"run", "--log-format", "json", "-c", filepath.Join(b.dir, "veer.yaml")}, args...),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		p.Stop(10 * time.Second)
		if b.t.Failed() {
			b.t.Logf("the last lines of the log:\n%s", lab.Tail(filepath.Join(b.dir, "log"), 20))
		}
	})
	b.until("it leads", func() error {
		st, err := api.NewClient(filepath.Join(b.dir, "data", api.SocketName)).Status(b.t.Context())
		if err == nil && !st.Leader.Itself {
			err = errors.New("it does not lead")
		}
		return err
	})
	return p
}

// until tries until it is as wanted.
func (b *userBench) until(what string, try func() error) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(patience); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(late) {
			b.t.Fatalf("%s: %v\n%s", what, err, lab.Tail(filepath.Join(b.dir, "log"), 20))
		}
	}
}

func (b *userBench) answers(want string) {
	b.t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		b.until(network+" answers "+want, func() error {
			m, _, err := (&dns.Client{Net: network}).Exchange(new(dns.Msg).SetQuestion("www.example.test.", dns.TypeA), net.JoinHostPort("127.0.0.1", strconv.Itoa(b.dns)))
			if err == nil && (len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want) {
				err = fmt.Errorf("answer %v", m)
			}
			return err
		})
	}
}

// privileged says what a process has that the user has not: of every thread the
// ids, the groups and the capabilities.
func (b *userBench) privileged(pid int, capabilities string) error {
	b.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) < 3 {
		b.t.Fatalf("the process has %d threads: %v", len(tasks), err)
	}
	want := map[string]string{
		"Uid": strings.Repeat(b.nobody+" ", 4), "Gid": strings.Repeat(b.gid+" ", 4), "Groups": b.gid,
		"CapInh": "0000000000000000", "CapPrm": capabilities, "CapEff": capabilities, "CapAmb": "0000000000000000",
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			b.t.Fatal(err)
		}
		seen := 0
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			wanted, ok := want[key]
			if !ok {
				continue
			}
			seen++
			if value = strings.Join(strings.Fields(value), " "); value != strings.TrimSpace(wanted) {
				return fmt.Errorf("%s: %s is %q, want %q", task, key, value, wanted)
			}
		}
		if seen != len(want) {
			b.t.Fatalf("%s tells %d of %d things:\n%s", task, seen, len(want), text)
		}
	}
	return nil
}

// owned says what in the data folder is not the user's.
func (b *userBench) owned() error {
	return filepath.WalkDir(filepath.Join(b.dir, "data"), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // etcd has dropped it
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil // the same
		}
		if stat := info.Sys().(*syscall.Stat_t); strconv.Itoa(int(stat.Uid)) != b.nobody || strconv.Itoa(int(stat.Gid)) != b.gid {
			return fmt.Errorf("%s is of user %d and group %d", path, stat.Uid, stat.Gid)
		}
		return nil
	})
}

// TestGivesUpRoot: a daemon that is started as root opens low ports, takes over
// what it left in its folder as root, and goes on without a privilege: it still
// answers, reloads, serves its API and writes its folder.
func TestGivesUpRoot(t *testing.T) {
	veer := buildVeer(t)
	t.Run("nothing is kept", func(t *testing.T) {
		b := newUserBench(t, veer, "udp")
		p := b.start()
		b.answers("192.0.2.1")
		if b.privileged(p.PID(), "0000000000000000") == nil || b.owned() == nil {
			t.Error("a daemon that stays root is not told from one that gives it up: the checks prove nothing")
		}
		if p.Stop(10 * time.Second) {
			t.Fatal("it did not stop")
		}
		for range 2 { // from what root left, and from what the user left
			b.write("example.test.zone", zoneText+"www A 192.0.2.1\n")
			p = b.start("--user", "nobody")
			b.answers("192.0.2.1")
			if err := errors.Join(b.privileged(p.PID(), "0000000000000000"), b.owned()); err != nil {
				t.Error(err)
			}
			b.write("example.test.zone", strings.Replace(zoneText, " 1 7200", " 2 7200", 1)+"www A 192.0.2.2\n")
			if err := p.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			b.answers("192.0.2.2")
			b.until("metrics", func() error {
				r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", b.web))
				if err == nil {
					err = r.Body.Close()
				}
				return err
			})
			if err := errors.Join(b.privileged(p.PID(), "0000000000000000"), b.owned()); err != nil {
				t.Errorf("after a reload: %v", err)
			}
			if p.Stop(10 * time.Second) {
				t.Fatal("it did not stop")
			}
		}
	})
	t.Run("the capability of pings is kept", func(t *testing.T) {
		b := newUserBench(t, veer, "raw")
		p := b.start("--user", "nobody")
		b.until("the ping is answered", func() error {
			st, err := api.NewClient(filepath.Join(b.dir, "data", api.SocketName)).Status(t.Context())
			for _, svc := range st.Serves {
				if svc.Name == "pinged.example.test." && svc.Pools[0].Up == 0 {
					err = fmt.Errorf("%+v", svc.Pools)
				}
			}
			return err
		})
		if err := b.privileged(p.PID(), "0000000000002000"); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct {
		prepare func(b *userBench) error
		args    []string
		want    string
	}{
		"a folder of others is not given away": {func(b *userBench) error {
			return errors.Join(os.Mkdir(filepath.Join(b.dir, "data"), 0o755), os.WriteFile(filepath.Join(b.dir, "data", "shadow"), nil, 0o600))
		}, []string{"--user", "nobody"}, `holds \"shadow\", which is not Veer's`},
		"a file with two names is not given away": {func(b *userBench) error {
			return errors.Join(os.Mkdir(filepath.Join(b.dir, "data"), 0o755), os.WriteFile(filepath.Join(b.dir, "secret"), nil, 0o600),
				os.Link(filepath.Join(b.dir, "secret"), filepath.Join(b.dir, "data", "takeover.json.tmp")))
		}, []string{"--user", "nobody"}, "has 2 names"},
		"who is not root cannot become another": {func(b *userBench) error {
			return errors.Join(os.Mkdir(filepath.Join(b.dir, "data"), 0o700), os.Chown(filepath.Join(b.dir, "data"), 65534, 65534))
		}, []string{"--user", "daemon"}, "which cannot become another user"},
		"nobody of that name": {func(*userBench) error { return nil }, []string{"--user", "no-such-user"}, "no-such-user"},
		"root":                {func(*userBench) error { return nil }, []string{"--user", "root"}, "gives up nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newUserBench(t, veer, "udp")
			if err := c.prepare(b); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), veer, append([]string{"run", "--log-format", "json", "-c", filepath.Join(b.dir, "veer.yaml")}, c.args...)...)
			if strings.HasPrefix(name, "who is not root") {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				cmd.Path = b.copyOfVeer()
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(strings.ReplaceAll(string(out), `"shadow"`, `\"shadow\"`), c.want) {
				t.Errorf("%v, want an error with %s:\n%s", err, c.want, out)
			}
			if info, err := os.Stat(filepath.Join(b.dir, "secret")); err == nil && info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Error("the file was given away by its other name")
			}
		})
	}
}
