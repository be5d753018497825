package tutorial

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
)

//go:embed files
var files embed.FS

// The services: what users visit, and a small one that goes first.
const (
	app  = "app.example.test"
	beta = "beta.example.test"
)

// place is one region: the address of its host, and those of its web servers.
type place struct {
	Name, Host string
	Addresses  []string
}

func places() []place {
	return []place{
		{"eu-west", "127.0.0.11", []string{"127.0.0.11", "127.0.0.21"}},
		{"us-east", "127.0.0.12", []string{"127.0.0.12", "127.0.0.22"}},
		{"ap-south", "127.0.0.13", []string{"127.0.0.13"}},
	}
}

func placeOf(region string) (place, bool) {
	for _, p := range places() {
		if p.Name == region {
			return p, true
		}
	}
	return place{}, false
}

// scene is three regions, each with web servers and a Veer that votes, may
// lead and keeps a member of the cluster, and a Veer that serves DNS. Its
// methods are for one goroutine, which is locked to its thread.
type scene struct {
	dir    string
	binary string
	dns    string // host:port
	webs   map[string]*web
	veers  map[string]*lab.Process // by region, and ns; one that is lost is missing
	paused map[string]bool
	// blinded are the regions whose probes all fail.
	blinded map[string]bool
	client  *api.Client // of ns
}

// ns is the host of the name server.
const ns = "ns"

// tokenEnv is the variable that holds what a Veer's probes carry: its region.
const tokenEnv = "TUTORIAL_VANTAGE"

// newScene makes the folder and its files. The caller strikes the scene also
// when it fails.
func newScene(binary, parent string) (*scene, error) {
	s := &scene{binary: binary, webs: map[string]*web{}, veers: map[string]*lab.Process{}, paused: map[string]bool{}, blinded: map[string]bool{}}
	dir, err := os.MkdirTemp(parent, "veer-tutorial-")
	if err != nil {
		return s, fmt.Errorf("make a temporary folder: %w", err)
	}
	s.dir = dir
	if len(filepath.Join(dir, "ap-south", "etcd.sock")) >= lab.SocketLimit {
		return s, fmt.Errorf("the path %s is too long for unix sockets (at most %d bytes); set TMPDIR to a short one", dir, lab.SocketLimit)
	}
	s.client = s.clientOf(ns)
	ports, err := s.ports()
	if err != nil {
		return s, err
	}
	s.dns = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	for _, p := range places() {
		for _, a := range p.Addresses {
			at := net.JoinHostPort(a, strconv.Itoa(ports[1]))
			s.webs[a] = &web{address: at, name: p.Name, is: down, refuses: map[string]bool{}}
		}
	}
	return s, lab.Fill(s.dir, files, "files", map[string]any{
		"DNS": s.dns, "Web": ports[1], "Peer": ports[2], "Client": ports[3],
		"TokenEnv": tokenEnv, "Regions": places(), "Services": []string{app, beta},
	})
}

// ports finds four that are free on every address of the scene.
func (s *scene) ports() ([]int, error) {
	all := []string{"127.0.0.1"}
	for _, p := range places() {
		all = append(all, p.Addresses...)
	}
	for _, a := range all {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(a, "0"))
		if errors.Is(err, syscall.EADDRNOTAVAIL) && runtime.GOOS != "linux" {
			return nil, fmt.Errorf("the tutorial needs the address %s, which this machine does not have; add it with: sudo ifconfig lo0 alias %s", a, a)
		}
		if err != nil {
			return nil, fmt.Errorf("the tutorial cannot listen on %s: %w", a, err)
		}
		_ = l.Close()
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 0)) // #nosec G404 -- no secret
	var out []int
	for len(out) < 4 {
		port, err := lab.FreePort(r, all...)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, port) {
			out = append(out, port)
		}
	}
	return out, nil
}

func (s *scene) config() string { return filepath.Join(s.dir, "veer.yaml") }

func (s *scene) clientOf(host string) *api.Client {
	return api.NewClient(filepath.Join(s.dir, host, api.SocketName))
}

func (s *scene) log(host string) string { return filepath.Join(s.dir, host+".log") }

// start starts everything, and returns before all of it is ready.
func (s *scene) start() error {
	for _, w := range s.webs {
		if err := w.become(well); err != nil {
			return err
		}
	}
	for _, p := range places() {
		if err := s.startVeer(p.Name); err != nil {
			return err
		}
	}
	return s.startVeer(ns)
}

// startVeer starts the daemon of a region, or that of the name server.
func (s *scene) startVeer(host string) error {
	spec := lab.Spec{
		Name: "veer in " + host, Path: s.binary, Dir: s.dir, Log: s.log(host),
		Args: []string{"run", "--log-format", "json", "-c", s.config(), "--role", "controller,prober"},
		Env:  []string{tokenEnv + "=" + host},
	}
	if host == ns {
		spec.Args[len(spec.Args)-1] = "authority"
	} else {
		spec.Env = append(spec.Env, "VEER_REGION="+host, "VEER_DATA_DIR="+filepath.Join(s.dir, host))
	}
	proc, err := lab.Start(spec)
	if err != nil {
		return err
	}
	s.veers[host] = proc
	return nil
}

// strike ends every process and removes the folder.
func (s *scene) strike() error {
	for _, p := range s.veers {
		p.Kill() // nothing of the scene is kept
	}
	for _, w := range s.webs {
		_ = w.become(down)
	}
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// lost is a daemon that ended by itself.
func (s *scene) lost() error {
	for host, p := range s.veers {
		select {
		case <-p.Done():
			delete(s.veers, host)
			return fmt.Errorf("%s ended by itself (%v). The last lines of its log:\n%s", p.Name, p.Err(), lab.Tail(p.Log, 10))
		default:
		}
	}
	return nil
}

// become has the web servers of a target behave so: a region, all, or an
// address.
func (s *scene) become(target string, m mode) error {
	found := false
	for _, p := range places() {
		for _, a := range p.Addresses {
			if target != "all" && target != p.Name && target != a {
				continue
			}
			found = true
			if err := s.webs[a].become(m); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("found %q; expected %s", target, targets())
	}
	return nil
}

// lose cuts the power of a region: all that is in it is gone at once.
func (s *scene) lose(region string) error {
	proc, ok := s.veers[region]
	if _, known := placeOf(region); !known {
		return fmt.Errorf("found %q; expected a region: %s", region, regionNames())
	}
	if !ok {
		return fmt.Errorf("%s is lost already", region)
	}
	delete(s.veers, region)
	delete(s.paused, region)
	proc.Kill()
	return s.become(region, down)
}

// blind has every probe of a region fail, and nobody else's.
func (s *scene) blind(region string) error {
	if _, known := placeOf(region); !known {
		return fmt.Errorf("found %q; expected a region: %s", region, regionNames())
	}
	s.blinded[region] = true
	for _, w := range s.webs {
		w.refuse(region, true)
	}
	return nil
}

// pause freezes the Veer of a region, which then does not know that time goes
// on, as a virtual machine that is moved.
func (s *scene) pause(region string) error {
	proc, ok := s.veers[region]
	if _, known := placeOf(region); !known || !ok {
		return fmt.Errorf("found %q; expected a region whose Veer runs, or leader: %s", region, regionNames())
	}
	if err := proc.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	s.paused[region] = true
	return nil
}

// fix undoes all that was done to a region, to all, or to one web server.
func (s *scene) fix(target string) error {
	for _, p := range places() {
		if target != "all" && target != p.Name {
			continue
		}
		delete(s.blinded, p.Name)
		for _, w := range s.webs {
			w.refuse(p.Name, false)
		}
		if s.paused[p.Name] {
			if err := s.veers[p.Name].Signal(syscall.SIGCONT); err != nil {
				return err
			}
			delete(s.paused, p.Name)
		}
		if s.veers[p.Name] == nil {
			if err := s.startVeer(p.Name); err != nil {
				return err
			}
		}
	}
	return s.become(target, well)
}

// broken reports whether anything was done that is not fixed.
func (s *scene) broken() bool {
	for _, w := range s.webs {
		if w.mode() != well {
			return true
		}
	}
	return len(s.paused)+len(s.blinded) > 0 || len(s.veers) < len(places())+1
}

// status asks the name server's daemon.
func (s *scene) status(ctx context.Context) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.client.Status(ctx)
}

func regionNames() string { return "eu-west, us-east, ap-south" }

func targets() string {
	text := regionNames() + ", all"
	for _, p := range places() {
		for _, a := range p.Addresses {
			text += ", " + a
		}
	}
	return text
}
