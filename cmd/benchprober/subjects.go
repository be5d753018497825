//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// perPool is how many endpoints a pool, or a resource of gdnsd, has.
const perPool = 10

// subject is one contestant that runs.
type subject struct {
	pid   int
	log   string // its log, in which downs says so of an endpoint
	downs string
	late  func() (string, error)
	parts []*lab.Process // last started first to stop
}

func (s *subject) stop() {
	for i := len(s.parts) - 1; i >= 0; i-- {
		s.parts[i].Stop(10 * time.Second)
	}
}

// look is what a subject has used and done so far.
type look struct {
	cpu    time.Duration
	checks uint64
	down   int
}

func (s *subject) look(b *bench) (look, error) {
	cpu, err := used(s.pid)
	if err != nil {
		return look{}, err
	}
	log, err := os.ReadFile(s.log)
	if err != nil {
		return look{}, err
	}
	return look{cpu: cpu, checks: b.checks(), down: bytes.Count(log, []byte(s.downs))}, nil
}

// used reads a process's CPU time (proc_pid_stat(5)).
func used(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	text := string(b)
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	var ticks int64
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil
}

// address is the nth endpoint's.
func address(n int) string { return fmt.Sprintf("127.%d.%d.%d", 1+n/62500, n/250%250, n%250+1) }

func (b *bench) folder(name string, round int) (string, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s%d", name, round))
	return dir, os.MkdirAll(dir, 0o700)
}

// gdnsd is the peer, at the interval of 2 s, the least that it takes.
func (b *bench) gdnsd(round int) (*subject, error) {
	path, err := exec.LookPath("gdnsd")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/gdnsd"); err != nil {
			return nil, errors.New("gdnsd is not installed; install it with: apt-get install gdnsd")
		}
	}
	dir, err := b.folder("gdnsd", round)
	if err != nil {
		return nil, err
	}
	var c, z strings.Builder
	fmt.Fprintf(&c, "options => { listen => [ \"127.0.0.1:21100\" ], run_dir => %q, state_dir => %q }\nservice_types => {\n", dir+"/run", dir+"/state")
	for i, t := range b.targets {
		fmt.Fprintf(&c, "  web%d => { plugin => http_status, port => %d, url_path => /, interval => 2, timeout => 1, up_thresh => 2, ok_thresh => 2, down_thresh => 2 }\n", i, t.port)
	}
	c.WriteString("}\nplugins => { multifo => {\n")
	z.WriteString("@ SOA ns1 hostmaster 1 7200 1800 259200 60\n@ NS ns1\nns1 A 127.0.0.1\n")
	for n := 0; n+perPool <= b.o.endpoints; n += perPool {
		fmt.Fprintf(&c, "  r%d => { service_types => web%d", n, n/perPool%len(b.targets))
		for i := range perPool {
			fmt.Fprintf(&c, ", a%d => %s", i, address(n+i))
		}
		c.WriteString(" }\n")
		fmt.Fprintf(&z, "s%d DYNA multifo!r%d\n", n, n)
	}
	c.WriteString("} }\n")
	if err := write(dir, map[string]string{"config": c.String(), "zones/example.test": z.String(), "run/.keep": "", "state/.keep": ""}); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "log")
	p, err := lab.Start(lab.Spec{Name: "gdnsd", Path: path, Args: []string{"-c", dir, "start"}, Log: log})
	if err != nil {
		return nil, err
	}
	return &subject{pid: p.PID(), log: log, downs: " to DOWN", parts: []*lab.Process{p}}, nil
}

func (b *bench) veerNew(round int) (*subject, error) {
	return b.prober("new", round, b.o.endpoints, false)
}

func (b *bench) veerKept(round int) (*subject, error) {
	return b.prober("kept", round, b.o.kept, true)
}

// prober is a process that only probes, beside one that has etcd and decides.
func (b *bench) prober(name string, round, endpoints int, keep bool) (*subject, error) {
	dir, err := b.folder(name, round)
	if err != nil {
		return nil, err
	}
	var c strings.Builder
	c.WriteString("owner: bench\nregions: [r1, r2]\nvantages: [r1]\nproviders:\n  here: {kind: authority, listen: [\"127.0.0.1:21101\"], zones: [{name: example.test, file: example.test.zone}]}\nmonitors:\n")
	for i, t := range b.targets {
		fmt.Fprintf(&c, "  web%d: {kind: http, path: /, port: %d, interval: 2s, timeout: 1s, fall: 2, rise: 2, keep_alive: %t}\n", i, t.port, keep)
	}
	c.WriteString("services:\n")
	for n := 0; n+2*perPool <= endpoints; n += 2 * perPool {
		fmt.Fprintf(&c, "  - name: s%d.example.test\n    monitor: web%d\n    quorum: {need: any, min_voters: 1}\n    pools:\n", n, n/(2*perPool)%len(b.targets))
		for r := range 2 {
			var all []string
			for i := range perPool {
				all = append(all, address(n+r*perPool+i))
			}
			fmt.Fprintf(&c, "      - {region: r%d, endpoints: [%s]}\n", r+1, strings.Join(all, ", "))
		}
	}
	zone := "$TTL 60\n@ IN SOA ns1 hostmaster 1 7200 1800 259200 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"
	if err := write(dir, map[string]string{"veer.yaml": c.String(), "example.test.zone": zone}); err != nil {
		return nil, err
	}
	s := &subject{downs: `"is":"down"`}
	start := func(role string, more ...string) (*lab.Process, error) {
		args := append([]string{"run", "-c", dir + "/veer.yaml", "--region", "r1", "--data-dir", filepath.Join(dir, role), "--role", role, "-o", "json"}, more...)
		p, err := lab.Start(lab.Spec{Name: role, Path: b.o.veer, Args: args, Log: filepath.Join(dir, role+".log")})
		if err == nil {
			s.parts = append(s.parts, p)
		}
		return p, err
	}
	if _, err := start("controller"); err != nil {
		return nil, err
	}
	p, err := start("prober", "--join", "unix://"+dir+"/controller/etcd.sock")
	if err != nil {
		s.stop()
		return nil, err
	}
	s.pid, s.log = p.PID(), filepath.Join(dir, "prober.log")
	s.late = func() (string, error) { return b.punctual(dir) }
	return s, nil
}

// punctual asks the prober's daemon how late its probes began.
func (b *bench) punctual(dir string) (string, error) {
	cmd := exec.Command(b.o.veer, "status", "-c", dir+"/veer.yaml", "--data-dir", dir+"/prober", "-o", "json")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // degraded is an exit code too
		return "", err
	}
	var st struct {
		Prober *struct {
			P50   time.Duration `json:"late_p50"`
			P99   time.Duration `json:"late_p99"`
			Worst time.Duration `json:"late_worst"`
		} `json:"prober"`
	}
	if err := json.Unmarshal(out, &st); err != nil || st.Prober == nil {
		return "", fmt.Errorf("the prober's status says nothing of lateness: %.200s", out)
	}
	return fmt.Sprintf("p50 %s, p99 %s, worst %s", st.Prober.P50, st.Prober.P99, st.Prober.Worst), nil
}

func write(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func debianVersion(pack string) string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", pack).Output()
	if err != nil {
		return "of an unknown version"
	}
	return string(out)
}
