//go:build netns

package clusterlab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/internal/lab/links"
	"github.com/veerdns/veer/cmd/veer/api"
)

const (
	// patience bounds every wait for an event; no test passes by waiting so long.
	patience = time.Minute
	app      = "app.example.test."
	// pollEvery is between two queries to each authority.
	pollEvery = 10 * time.Millisecond
)

// oneWay is the delay between regions: a round trip takes 80 ms.
const oneWay = 40 * time.Millisecond

var regionNames = []string{"eu-west", "us-east", "ap-south"}

// region is one veer process with its host, its backend and who asks it.
type region struct {
	w       *world
	name    string
	dir     string
	host    *links.Host
	web     *backend
	proc    *lab.Process // nil: it does not run
	stopped bool         // by SIGSTOP
	poller  *lab.Poller
	starts  int
}

// world is the whole laboratory.
type world struct {
	t       *testing.T
	dir     string
	veer    string
	net     *links.Network
	regions []*region
	outside *links.Host // the providers'
	aws     *aws
	bind    *lab.Process
	front   *front             // of BIND
	fault   string             // that is planted in processes that start
	stop    context.CancelFunc // of the pollers
	polls   []chan error
}

// newWorld makes three regions that run and agree, by the config with some
// edits: each is what stands there, then what shall.
func newWorld(t *testing.T, monitor string, edits ...string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "v") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, veer: filepath.Join(dir, "veer"), net: links.New(faultSeed)}
	t.Cleanup(w.close)
	// With what a laboratory can ask for: see cmd/veer/hooks_netns.go.
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-tags", "netns", "-ldflags=-checklinkname=0", "-o", w.veer, "github.com/veerdns/veer/cmd/veer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building veer: %v\n%s", err, out)
	}
	w.outside = w.host("outside", 20)
	ca := newAuthority(t)
	for i, name := range regionNames {
		r := &region{w: w, name: name, dir: filepath.Join(dir, name), host: w.host(name, byte(1+i))}
		r.web = &backend{host: w.host("web-"+name, byte(11+i))}
		w.regions = append(w.regions, r)
		if err := os.Mkdir(r.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r.skew(0)
		ca.issue(t, r.dir, name, int64(i+1), r.host.Address())
	}
	w.aws = newAWS(t, func() (net.Listener, error) { return w.outside.Listen(w.outside.Address(), awsPort) })
	w.startBIND()
	w.startFront()
	w.configure(monitor, edits)
	w.heal()
	w.poll()
	w.settle()
	return w
}

func (w *world) host(name string, n byte) *links.Host {
	w.t.Helper()
	h, err := w.net.AddHost(name, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// heal gives every link what it has when nothing is wrong.
func (w *world) heal() { w.links(farLink) }

var (
	farLink  = links.Link{Delay: oneWay, Jitter: time.Millisecond}
	nearLink = links.Link{Delay: 500 * time.Microsecond}
)

// whole is what a link has when nothing is wrong.
func (w *world) whole(from, to *links.Host) links.Link {
	if from == w.outside || to == w.outside {
		return links.Link{Delay: oneWay / 2}
	}
	for _, r := range w.regions {
		if from == r.host && to == r.web.host || from == r.web.host && to == r.host {
			return nearLink
		}
	}
	return farLink
}

// links sets all links between regions, and those of vantages to backends
// elsewhere.
func (w *world) links(far links.Link) {
	for i, a := range w.regions {
		w.net.Both(a.host, w.outside, links.Link{Delay: oneWay / 2})
		for j, b := range w.regions {
			switch {
			case i == j:
				w.net.Both(a.host, b.web.host, nearLink)
			default:
				w.net.Set(a.host, b.host, far)
				w.net.Both(a.host, b.web.host, far)
			}
		}
	}
}

// poll asks every authority, from its own host, until the world ends.
func (w *world) poll() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	for _, r := range w.regions {
		p, err := lab.NewPoller(r.host.Address().String()+":53", app, pollEvery, time.Second)
		if err != nil {
			w.t.Fatal(err)
		}
		p.Dial = r.host.Dial
		r.poller = p
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		w.polls = append(w.polls, ended)
	}
}

// close ends everything, in the order in which nothing is missed.
func (w *world) close() {
	if w.stop != nil {
		w.stop()
	}
	for _, ended := range w.polls {
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
	for _, r := range w.regions {
		if w.t.Failed() && r.starts > 0 {
			w.t.Logf("the last lines of %s:\n%s", r.name, lab.Tail(r.log(), 15))
		}
		r.kill()
		r.web.kill()
	}
	if w.front != nil {
		w.front.close()
	}
	if w.bind != nil {
		w.bind.Kill()
	}
	if w.aws != nil {
		w.aws.close()
	}
	if err := w.net.Close(); err != nil {
		w.t.Error(err)
	}
	if keep := os.Getenv("VEER_LAB_KEEP"); w.t.Failed() && keep != "" {
		w.t.Logf("logs and data are in %s", w.dir)
		return
	}
	if err := os.RemoveAll(w.dir); err != nil {
		w.t.Error(err)
	}
}

// clock is the file that says how wrong the process's wall clock is.
func (r *region) clock() string { return filepath.Join(r.dir, "clock") }

func (r *region) log() string { return filepath.Join(r.dir, fmt.Sprintf("log%d", r.starts)) }

// start starts the region's process, if it does not run.
func (r *region) start() {
	r.w.t.Helper()
	if r.proc != nil {
		return
	}
	r.starts++
	env := []string{"GOMAXPROCS=2", "VEER_LAB_SKEW=" + r.clock()}
	if w := r.w; w.fault != "" && !w.aws.unfenced { // else it is the provider's
		env = append(env, "VEER_LAB_FAULT="+w.fault)
	}
	p, err := r.host.Start(lab.Spec{
		Name: r.name, Path: r.w.veer, Dir: r.dir, Log: r.log(),
		Args: []string{"run", "--log-format", "json", "-c", filepath.Join(r.dir, "veer.yaml")},
		Env:  env,
	})
	if err != nil {
		r.w.t.Fatal(err)
	}
	r.proc = p
}

// end stops the process as an operator does.
func (r *region) end() {
	r.w.t.Helper()
	if r.proc.Stop(20 * time.Second) {
		r.w.t.Fatalf("%s did not stop within 20 s", r.name)
	}
	r.proc, r.stopped = nil, false
}

// kill ends the process as a crash does.
func (r *region) kill() {
	if r.proc != nil {
		r.proc.Kill()
		r.proc, r.stopped = nil, false
	}
}

func (r *region) address() string { return r.host.Address().String() }

// status asks the region's process.
func (r *region) status() (api.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return api.NewClient(filepath.Join(r.dir, "d", api.SocketName)).Status(ctx)
}

// await polls until something is so.
func (w *world) await(what string, ok func() (bool, string)) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		is, last := ok()
		if is {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			w.t.Fatalf("%s: it did not come to be; the last was %s", what, last)
		}
	}
}

// pass lets a time pass that is itself the case: how long a fault lasts, or a
// look at what must not change.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	if err := lab.Pause(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
}

// settle starts and heals everything, and returns when all three regions run,
// vote, follow one leader and serve the first pool, at the providers, too.
func (w *world) settle() {
	w.t.Helper()
	w.heal()
	for _, r := range w.regions {
		r.resume()
		r.web.revive(w.t)
		r.start()
	}
	home := w.regions[0].web.address()
	w.await("three regions agree and serve "+home, func() (bool, string) {
		for _, r := range w.regions {
			if why := r.unsettled(); why != "" {
				return false, r.name + ": " + why
			}
		}
		if got := w.provided(); !slices.Equal(got, []string{home}) {
			return false, fmt.Sprintf("Route 53 has %v", got)
		}
		if got, err := w.readBIND(); err != nil || !slices.Equal(got.app, []string{home}) {
			return false, fmt.Sprintf("BIND has %v, %v", got, err)
		}
		return true, ""
	})
}

// provided is what Route 53 has for the service.
func (w *world) provided() []string { return w.aws.addresses() }

// unsettled says what is not as it is when all is well.
func (r *region) unsettled() string {
	st, err := r.status()
	if err != nil {
		return err.Error()
	}
	if st.Leader.Name == "" {
		return "no leader"
	}
	if !r.seated() { // until the lease ends, etcd has what it voted before a crash
		return "it does not vote itself yet"
	}
	for _, v := range st.Voters {
		if !v.Fresh || v.Suspect || v.Votes != 3 || v.Down != 0 {
			return fmt.Sprintf("vantage %+v", v)
		}
	}
	for _, s := range st.Serves {
		if !slices.Equal(s.Serving, st.Serves[0].Serving) || len(s.Serving) != 1 || string(s.Serving[0]) != regionNames[0] {
			return fmt.Sprintf("%s is served by %v", s.Name, s.Serving)
		}
		for _, p := range s.Pools {
			if p.Hold > 0 || p.Up != p.Total {
				return fmt.Sprintf("%s: pool %s has %d of %d up, hold %s", s.Name, p.Region, p.Up, p.Total, p.Hold)
			}
		}
	}
	return ""
}

// seated reports whether the process itself votes, by its log.
func (r *region) seated() bool {
	b, err := os.ReadFile(r.log())
	if err != nil {
		r.w.t.Fatal(err)
	}
	return bytes.LastIndex(b, []byte("this process votes for the vantage")) > bytes.LastIndex(b, []byte("the seat was lost"))
}

// pause stops the process as a machine that hangs does.
func (r *region) pause() {
	r.w.t.Helper()
	if err := r.proc.Signal(sigStop); err != nil {
		r.w.t.Fatal(err)
	}
	r.stopped = true
}

// resume lets a stopped process go on.
func (r *region) resume() {
	r.w.t.Helper()
	if r.proc == nil || !r.stopped {
		return
	}
	if err := r.proc.Signal(sigCont); err != nil {
		r.w.t.Fatal(err)
	}
	r.stopped = false
}

// leader is the region whose process leads, as a region that is not excepted
// says.
func (w *world) leader(but ...*region) (who *region, term uint64) {
	for _, r := range w.regions {
		if r.proc == nil || r.stopped || slices.Contains(but, r) {
			continue
		}
		st, err := r.status()
		if err != nil || st.Leader.Name == "" {
			continue
		}
		for _, l := range w.regions {
			if l.name == st.Leader.Name {
				return l, uint64(st.Leader.Term)
			}
		}
	}
	return nil, 0
}

// others are the regions but for some.
func (w *world) others(but ...*region) []*region {
	return slices.DeleteFunc(slices.Clone(w.regions), func(r *region) bool { return slices.Contains(but, r) })
}

// answers waits until the authorities of the regions answer with an address,
// and returns when the last one did.
func (w *world) answers(since time.Time, address string, at ...*region) time.Duration {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last time.Duration
	for _, r := range at {
		when, err := r.poller.Wait(ctx, since, address)
		if err != nil {
			st, _ := r.status()
			w.t.Fatalf("%s: %v; its status is %+v", r.name, err, st)
		}
		last = max(last, when.Sub(since))
	}
	return last
}
