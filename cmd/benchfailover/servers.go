package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// name is the steered name, primary and secondary the backends' addresses.
const (
	name      = "app.example.test."
	primary   = "127.0.0.31"
	secondary = "127.0.0.32"
)

// server is one DNS server, or one set of processes, under test.
type server struct {
	name    string // column of the tables
	version string
	ours    bool
	poller  *lab.Poller
	parts   []*lab.Process // last started first to stop
}

// values fill a configuration's {{...}} parts.
type values struct {
	Dir                string
	Port, BackendPort  int
	Primary, Secondary string
	Watch              bool
}

// bench is what all servers share.
type bench struct {
	configs, veer string
	dir           string // temporary, short enough for unix sockets
	port          int    // of the backends
	random        *rand.Rand
}

// prepare writes a server's configuration from its templates into a folder of
// its own, and gives it a port.
func (b *bench) prepare(from, to string, watch bool) (values, error) {
	v := values{Dir: filepath.Join(b.dir, to), BackendPort: b.port, Primary: primary, Secondary: secondary, Watch: watch}
	var err error
	if v.Port, err = lab.FreePort(b.random, "127.0.0.1"); err != nil {
		return v, err
	}
	src := filepath.Join(b.configs, from)
	written := 0
	err = filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(v.Dir, rel), 0o700)
		}
		t, err := template.ParseFiles(path)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, v); err != nil {
			return err
		}
		written++
		return os.WriteFile(filepath.Join(v.Dir, rel), out.Bytes(), 0o600)
	})
	if err == nil && written == 0 {
		err = fmt.Errorf("%s has no files", src)
	}
	if err != nil {
		return v, fmt.Errorf("write the configuration of %s: %w", to, err)
	}
	return v, nil
}

// find looks for a Debian server's binary, which may not be in a user's PATH.
func find(binary, pack string) (string, error) {
	if path, err := exec.LookPath(binary); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, binary)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; install it with: apt-get install %s", binary, pack)
}

func (b *bench) gdnsd() (*server, error) {
	path, err := find("gdnsd", "gdnsd")
	if err != nil {
		return nil, err
	}
	v, err := b.prepare("gdnsd", "gdnsd", false)
	if err != nil {
		return nil, err
	}
	p, err := lab.Start(lab.Spec{Name: "gdnsd", Path: path, Args: []string{"-c", v.Dir, "start"}, Log: filepath.Join(b.dir, "gdnsd.log")})
	if err != nil {
		return nil, err
	}
	return b.watch(&server{name: "gdnsd", version: debianVersion("gdnsd"), parts: []*lab.Process{p}}, v)
}

func (b *bench) powerdns() (*server, error) {
	path, err := find("pdns_server", "pdns-server pdns-backend-bind")
	if err != nil {
		return nil, err
	}
	v, err := b.prepare("powerdns", "powerdns", false)
	if err != nil {
		return nil, err
	}
	p, err := lab.Start(lab.Spec{Name: "PowerDNS", Path: path, Args: []string{"--config-dir=" + v.Dir}, Log: filepath.Join(b.dir, "powerdns.log")})
	if err != nil {
		return nil, err
	}
	return b.watch(&server{name: "PowerDNS", version: debianVersion("pdns-server"), parts: []*lab.Process{p}}, v)
}

// ours starts three vantages: one full daemon with the embedded etcd, and two
// probers that join it through its unix socket.
func (b *bench) ours(label string, watch bool) (*server, error) {
	s := &server{name: label, ours: true}
	out, err := exec.Command(b.veer, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s version: %w", b.veer, err)
	}
	s.version, _, _ = strings.Cut(string(out), "\n")
	v, err := b.prepare("veer", strings.ReplaceAll(label, " ", "-"), watch)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(v.Dir, "veer.yaml")
	socket := filepath.Join(v.Dir, "eu-west", "etcd.sock")
	for _, region := range []string{"eu-west", "us-east", "ap-south"} {
		data := filepath.Join(v.Dir, region)
		spec := lab.Spec{
			Name: label + " " + region, Path: b.veer, Args: []string{"run", "-c", config},
			Env: []string{"VEER_REGION=" + region, "VEER_DATA_DIR=" + data},
			Log: filepath.Join(b.dir, strings.ReplaceAll(label, " ", "-")+"."+region+".log"),
		}
		if region != "eu-west" {
			spec.Args = append(spec.Args, "--role", "prober")
			spec.Env = append(spec.Env, "VEER_CLUSTER_ENDPOINTS=unix://"+socket)
		}
		p, err := lab.Start(spec)
		if err != nil {
			s.stop()
			return nil, err
		}
		s.parts = append(s.parts, p)
		if region == "eu-west" {
			if err := waitFile(p, socket, 30*time.Second); err != nil {
				s.stop()
				return nil, err
			}
		}
	}
	return b.watch(s, v)
}

// waitFile waits until a process has made a file.
func waitFile(p *lab.Process, path string, limit time.Duration) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return fmt.Errorf("%s ended: %v; its last lines:\n%s", p.Name, p.Err(), lab.Tail(p.Log, 10))
		case <-ctx.Done():
			return fmt.Errorf("%s did not make %s within %s; its last lines:\n%s", p.Name, filepath.Base(path), limit, lab.Tail(p.Log, 10))
		}
	}
}

func (b *bench) watch(s *server, v values) (*server, error) {
	var err error
	s.poller, err = lab.NewPoller(net.JoinHostPort("127.0.0.1", strconv.Itoa(v.Port)), name, 10*time.Millisecond, time.Second)
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// stop ends the server's processes, the last started first.
func (s *server) stop() {
	for i := len(s.parts) - 1; i >= 0; i-- {
		s.parts[i].Stop(10 * time.Second)
	}
}

// dead names a process that ended although nobody stopped it.
func (s *server) dead() error {
	for _, p := range s.parts {
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended by itself: %v; its last lines:\n%s", p.Name, p.Err(), lab.Tail(p.Log, 10))
		default:
		}
	}
	return nil
}

func debianVersion(pack string) string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", pack).Output()
	if err != nil {
		return "(not from a Debian package)"
	}
	return string(out)
}

// settle waits until the server answers with the primary, asking slowly with a
// poller of its own that is thrown away.
func (s *server) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var watched sync.WaitGroup
	defer watched.Wait()
	defer cancel()
	for _, p := range s.parts {
		watched.Go(func() {
			select {
			case <-p.Done():
				cancel()
			case <-ctx.Done():
			}
		})
	}
	probe := s.poller.Another(50 * time.Millisecond)
	polling, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = probe.Run(polling)
	}()
	_, err := probe.Wait(ctx, time.Now(), primary)
	stop()
	<-ended
	if dead := s.dead(); dead != nil {
		return dead
	}
	if err != nil {
		return fmt.Errorf("%s: %w; last lines of its log:\n%s", s.name, err, lab.Tail(s.parts[0].Log, 10))
	}
	return nil
}
