//go:build scale

package daemon_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	process "github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/prober"
)

// The scale that `make bench-scale` measures.
const (
	scaleServices = 1000
	scaleRegions  = 5
	scalePool     = 2 // endpoints a pool: 10,000 in all, 2,000 a region
	scaleRepeats  = 11
	scaleWorst    = time.Second
	scaleRest     = 10 * time.Second
)

// TestScale is `make bench-scale`: with 10,000 endpoints and 5 vantages a
// region of 2,000 endpoints dies. It prints the time from the last vote that is
// needed until every service's answer has moved, as DNS tells it, and what the
// processes use at rest and in the event. The controller, with etcd in it, and
// the authority are processes of their own; the vantages' votes are cast here,
// by the same seats that a prober's are.
func TestScale(t *testing.T) {
	s := newScaleLab(t)
	for _, v := range s.vantages {
		v.cast(t, nil)
	}
	s.await(t, "r1")
	fmt.Printf("%d services with %d pools of %d endpoints (%d endpoints), %d vantages; %d CPUs, load %s\n",
		scaleServices, scaleRegions, scalePool, len(s.endpoints), len(s.vantages), runtime.NumCPU(), s.load())
	s.usage(t, "at rest", func() {
		timer := time.NewTimer(scaleRest)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-t.Context().Done():
		}
	})
	var took []time.Duration
	s.usage(t, fmt.Sprintf("%d losses and returns of a region", scaleRepeats), func() {
		for range scaleRepeats {
			took = append(took, s.lose(t))
		}
	})
	slices.Sort(took)
	worst := took[len(took)-1]
	fmt.Printf("from the last needed vote to the new table: median %s, worst %s of %d\n", ms(took[len(took)/2]), ms(worst), len(took))
	verdict := "PASS"
	if worst > scaleWorst {
		verdict = "FAIL"
		t.Fail()
	}
	fmt.Printf("%s bound: worst at most %s\n", verdict, scaleWorst)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }

// scaleLab is the processes and the vantages.
type scaleLab struct {
	dir       string
	server    string
	processes map[string]*process.Process
	vantages  []*scaleVantage
	endpoints []regions.EndpointID
	of        map[regions.EndpointID]string // its region
}

type scaleVantage struct {
	seat      prober.Seat
	endpoints []regions.EndpointID
	round     uint64
}

// cast votes down on those, and up on all others.
func (v *scaleVantage) cast(t *testing.T, down map[regions.EndpointID]bool) {
	t.Helper()
	v.round++
	var b regions.Ballot
	for _, e := range v.endpoints {
		vote := regions.Vote{Endpoint: e, Health: checks.Up, Round: v.round}
		if down[e] {
			vote.Health, vote.Why = checks.Down, "GET http://"+string(e)+" failed while connecting: connection refused"
		}
		b.Votes = append(b.Votes, vote)
	}
	if err := v.seat.Cast(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func newScaleLab(t *testing.T) *scaleLab {
	// The children die with this thread; see process.Start.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "vscale")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &scaleLab{dir: dir, processes: map[string]*process.Process{}, of: map[regions.EndpointID]string{}}
	s.configure(t)
	s.start(t, "controller", "")
	socket := "unix://" + filepath.Join(dir, "controller", "etcd.sock")
	s.start(t, "authority", socket)
	for i := range scaleRegions {
		s.sit(t, regions.Name(fmt.Sprintf("r%d", i+1)), socket)
	}
	return s
}

// configure writes the config, and reads the endpoints out of it.
func (s *scaleLab) configure(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.server = l.LocalAddr().String()
	_ = l.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "owner: scale\nregions: [r1, r2, r3, r4, r5]\nvelocity: off\nproviders:\n  here: {kind: authority, listen: [%q], zones: [{name: example.test, file: example.test.zone}]}\n", s.server)
	b.WriteString("monitors:\n  web: {kind: tcp, port: 1}\nservices:\n")
	for i := range scaleServices {
		fmt.Fprintf(&b, "  - name: s%d.example.test\n    monitor: web\n    failback: {mode: auto, hold: 1s}\n    damping: off\n    ttl: {min: 1s, max: 60s}\n    pools:\n", i)
		for r := range scaleRegions {
			var addresses []string
			for e := range scalePool {
				n := i*scalePool + e
				addresses = append(addresses, fmt.Sprintf("127.%d.%d.%d", r+1, n/250, n%250+1))
			}
			fmt.Fprintf(&b, "      - {region: r%d, endpoints: [%s]}\n", r+1, strings.Join(addresses, ", "))
		}
	}
	for name, text := range map[string]string{"veer.yaml": b.String(), "example.test.zone": labZone} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"VEER_REGION": "r1", "VEER_DATA_DIR": s.dir}
	c, err := config.Load(filepath.Join(s.dir, "veer.yaml"), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	for _, svc := range c.Policy().Services {
		for _, p := range svc.Pools {
			for _, e := range p.Endpoints {
				s.endpoints = append(s.endpoints, e.ID)
				s.of[e.ID] = string(p.Region)
			}
		}
	}
	slices.Sort(s.endpoints)
}

// start starts a process of one role, and waits until its daemon answers.
func (s *scaleLab) start(t *testing.T, role, join string) {
	veer, err := filepath.Abs(os.Getenv("VEER"))
	if err != nil || os.Getenv("VEER") == "" {
		t.Fatal("VEER has to name the veer binary: run make bench-scale")
	}
	data := filepath.Join(s.dir, role)
	args := []string{"run", "-c", filepath.Join(s.dir, "veer.yaml"), "--region", "r1", "--data-dir", data, "--role", role, "--log-level", "warn"}
	if join != "" {
		args = append(args, "--join", join)
	}
	p, err := process.Start(process.Spec{Name: role, Path: veer, Args: args, Log: filepath.Join(s.dir, role+".log")})
	if err != nil {
		t.Fatal(err)
	}
	s.processes[role] = p
	t.Cleanup(func() { p.Stop(10 * time.Second) })
	s.until(t, role+" to answer", func() bool { return dialable("unix", filepath.Join(data, "veer.sock")) })
	if role == "controller" {
		s.until(t, "etcd", func() bool { return dialable("unix", filepath.Join(data, "etcd.sock")) })
	}
}

func dialable(network, address string) bool {
	conn, err := net.Dial(network, address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// sit takes a vantage's seat, and keeps it.
func (s *scaleLab) sit(t *testing.T, vantage regions.Name, socket string) {
	cl, err := cluster.Start(t.Context(), cluster.Config{Endpoints: []string{socket}}, cluster.Options{Owner: "scale", Name: string(vantage), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	seat, err := cl.Join(t.Context(), vantage)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				_ = seat.Renew(ctx) // a lost seat fails the next Cast
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		_ = cl.Close()
	})
	s.vantages = append(s.vantages, &scaleVantage{seat: seat, endpoints: s.endpoints})
}

// lose has the region that serves die by the votes of three vantages, and come
// back, and returns the time from the third cast to the last moved answer.
func (s *scaleLab) lose(t *testing.T) time.Duration {
	down := map[regions.EndpointID]bool{}
	for e, region := range s.of {
		down[e] = region == "r1"
	}
	s.vantages[1].cast(t, down)
	s.vantages[2].cast(t, down)
	began := time.Now()
	s.vantages[3].cast(t, down)
	s.await(t, "r2")
	took := time.Since(began)
	for _, v := range s.vantages[1:4] {
		v.cast(t, nil)
	}
	s.await(t, "r1")
	return took
}

// await waits until every service answers with the region's addresses.
func (s *scaleLab) await(t *testing.T, region string) {
	t.Helper()
	left := make([]int, scaleServices)
	for i := range left {
		left[i] = i
	}
	prefix := "127." + strings.TrimPrefix(region, "r") + "."
	conn, err := dns.Dial("udp", s.server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.until(t, "every answer to be of "+region, func() bool {
		for len(left) > 0 {
			m := new(dns.Msg).SetQuestion(fmt.Sprintf("s%d.example.test.", left[len(left)-1]), dns.TypeA)
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			if conn.WriteMsg(m) != nil {
				return false
			}
			reply, err := conn.ReadMsg()
			if err != nil || reply.Id != m.Id || len(reply.Answer) == 0 || !strings.HasPrefix(reply.Answer[0].(*dns.A).A.String(), prefix) {
				return false
			}
			left = left[:len(left)-1]
		}
		return true
	})
}

// until polls: what it waits for is another process's.
func (s *scaleLab) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			for role := range s.processes {
				t.Logf("%s: %s", role, process.Tail(filepath.Join(s.dir, role+".log"), 10))
			}
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// usage prints what each process used while do ran.
func (s *scaleLab) usage(t *testing.T, when string, do func()) {
	before, began := map[string]time.Duration{}, time.Now()
	for role, p := range s.processes {
		before[role], _ = used(t, p.PID())
	}
	do()
	lasted := time.Since(began)
	for _, role := range slices.Sorted(maps.Keys(s.processes)) {
		cpu, memory := used(t, s.processes[role].PID())
		fmt.Printf("%s, %.1f s: %-10s %6.2f CPU-seconds (%.1f %% of one CPU), %d MiB resident\n",
			when, lasted.Seconds(), role, (cpu - before[role]).Seconds(), 100*(cpu-before[role]).Seconds()/lasted.Seconds(), memory>>20)
	}
}

// used reads a process's CPU time so far, and its resident memory in bytes.
func used(t *testing.T, pid int) (cpu time.Duration, resident int64) {
	t.Helper()
	read := func(name string) []string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		return strings.Fields(text[strings.LastIndex(text, ")")+1:])
	}
	stat := read("stat") // from field 3 on (proc_pid_stat(5))
	for _, i := range []int{11, 12} {
		ticks, err := strconv.ParseInt(stat[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		cpu += time.Duration(ticks) * time.Second / 100
	}
	pages, err := strconv.ParseInt(read("statm")[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return cpu, pages * int64(os.Getpagesize())
}

func (s *scaleLab) load() string {
	b, _ := os.ReadFile("/proc/loadavg") // an orientation only
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
