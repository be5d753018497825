package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
)

const name = "app.example.test"

// patience is how long each part may take to start on a slow machine.
const patience = time.Minute

// show is a quickstart that runs. Only the goroutine of start touches it.
type show struct {
	o     options
	p     paths
	out   io.Writer
	toys  map[string]*lab.Process // by region; one that is down is missing
	hung  map[string]bool
	veers []*lab.Process // the daemon first
	ended chan *lab.Process
	wait  sync.WaitGroup
	notes notes
	// warned is when each warning was told last.
	warned map[string]time.Time
}

// start runs everything until ctx ends or a part ends by itself.
func start(ctx context.Context, o options, out io.Writer) (err error) {
	if _, err := exec.LookPath(o.veer); err != nil {
		return fmt.Errorf("no veer binary at %s; build it with: make build", o.veer)
	}
	s := &show{o: o, out: out, toys: map[string]*lab.Process{}, hung: map[string]bool{},
		warned: map[string]time.Time{}, ended: make(chan *lab.Process)}
	if s.p, err = setup(o); err != nil {
		return fmt.Errorf("prepare %s: %w", o.dir, err)
	}
	held, err := lock()
	if err != nil {
		return err
	}
	defer held.Close()
	if err := checkPorts(o); err != nil {
		return err
	}
	if err := s.p.shorten(o); err != nil {
		return err
	}
	defer s.p.cleanup()
	if err := s.p.write(o); err != nil {
		return fmt.Errorf("write the config: %w", err)
	}
	defer s.stop()
	s.say("Starting three web servers and three vantages; files are in %s", o.dir)
	switch err := s.startAll(ctx); {
	case errors.Is(err, errStopped):
		return nil
	case err != nil:
		return err
	}
	return s.play(ctx)
}

func (s *show) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *show) startAll(ctx context.Context) error {
	for _, p := range places() {
		if err := s.startToy(p); err != nil {
			return err
		}
	}
	client := api.NewClient(filepath.Join(s.p.data, places()[0].Name, api.SocketName))
	for i, p := range places() {
		if err := s.startVeer(i, p); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		// The probers join through the daemon's etcd, so that must be there.
		if err := s.until(ctx, "the daemon to answer", func() bool { _, err := client.Status(ctx); return err == nil }); err != nil {
			return err
		}
	}
	return s.until(ctx, "three vantages to vote and the first decision", func() bool {
		st, err := client.Status(ctx)
		fresh := 0
		for _, v := range st.Voters {
			if v.Fresh && v.Votes == len(places()) {
				fresh++
			}
		}
		return err == nil && fresh == len(places()) && len(st.Serves) == 1 && len(st.Serves[0].Serving) > 0
	})
}

// until asks again and again; it fails when a process ends or time is up.
func (s *show) until(ctx context.Context, what string, ok func() bool) error {
	err := lab.Until(ctx, 50*time.Millisecond, patience, func() (bool, error) {
		select {
		case p := <-s.ended:
			return false, died(p)
		default:
			return ok(), nil
		}
	})
	switch {
	case ctx.Err() != nil:
		return errStopped
	case errors.Is(err, lab.ErrLate):
		return fmt.Errorf("%w for %s; the last lines of %s:\n%s", err, what, s.veers[0].Log, lab.Tail(s.veers[0].Log, 10))
	}
	return err
}

var errStopped = errors.New("stopped before everything had started")

func died(p *lab.Process) error {
	return fmt.Errorf("%s ended by itself (%v). The last lines of %s:\n%s", p.Name, p.Err(), p.Log, lab.Tail(p.Log, 10))
}

func (s *show) startToy(p place) error {
	at := net.JoinHostPort(p.Address, strconv.Itoa(s.o.port))
	proc, err := lab.Start(lab.Spec{
		Name: "the web server of " + p.Name, Path: s.o.self, Args: []string{"backend", p.Name, at},
		Log: filepath.Join(s.o.dir, "web-"+p.Name+".log"), Ready: true,
	})
	if err != nil {
		return err
	}
	s.toys[p.Name] = proc
	s.guard(proc)
	return nil
}

// startVeer starts the daemon (first) or a prober that joins it.
func (s *show) startVeer(i int, p place) error {
	spec := lab.Spec{
		Name: "veer in " + p.Name, Path: s.o.veer, Args: []string{"run", "--log-format", "json", "-c", s.p.config},
		Log: filepath.Join(s.o.dir, "veer-"+p.Name+".log"),
	}
	if i > 0 {
		spec.Args = append(spec.Args, "--role", "prober")
		spec.Env = []string{
			"VEER_REGION=" + p.Name,
			"VEER_DATA_DIR=" + filepath.Join(s.p.data, p.Name),
			"VEER_CLUSTER_ENDPOINTS=unix://" + filepath.Join(s.p.data, places()[0].Name, "etcd.sock"),
		}
	}
	proc, err := lab.Start(spec)
	if err != nil {
		return err
	}
	s.veers = append(s.veers, proc)
	s.guard(proc)
	return nil
}

// guard tells the main goroutine when a process ends.
func (s *show) guard(p *lab.Process) {
	s.wait.Go(func() {
		<-p.Done()
		s.ended <- p
	})
}

// stop ends every child, the daemon last, and waits for each.
func (s *show) stop() {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range s.ended {
		}
	}()
	for i := len(s.veers) - 1; i >= 0; i-- {
		if s.veers[i].Stop(15 * time.Second) {
			s.say("%s did not stop within 15 s and was killed; see %s", s.veers[i].Name, s.veers[i].Log)
		}
	}
	for _, p := range s.toys {
		p.Kill()
	}
	s.wait.Wait()
	close(s.ended)
	<-drained
	s.say("Everything is stopped.")
}

// intro prints what runs and what to try. Every command works as it stands, in
// any folder.
func (s *show) intro(answer string) {
	veer, self := quote(s.o.veer), quote(s.o.self)+s.o.flag
	config := " -c " + quote(s.p.config)
	host, port, _ := net.SplitHostPort(s.o.dns)
	s.say("")
	for i, p := range places() {
		what := "vantage"
		if i == 0 {
			what = "vantage, controller and DNS server (veer run)"
		}
		s.say("  %-9s web server on %s:%d; %s", p.Name, p.Address, s.o.port, what)
	}
	s.say("\n%s is now %s, answered by %s. Traffic prefers eu-west.", name, answer, s.o.dns)
	s.say("\nTry these in another terminal, in any folder.")
	s.try("Ask for the address:", veer+" query "+name+" --server "+s.o.dns)
	if _, err := exec.LookPath("dig"); err == nil {
		s.say("    dig +short @%s -p %s %s", host, port, name)
	}
	s.try("Kill the web server of eu-west, and start it again:", self+" down eu-west", self+" up eu-west")
	s.try("Make it hang (it takes connections and says nothing), and let it go on:", self+" hang eu-west", self+" up eu-west")
	s.try("See the state of everything, and why the answer is what it is:", veer+" status"+config, veer+" explain "+name+config)
	s.try("Take a region out for ten minutes, and end that:",
		veer+" drain eu-west --reason 'a try' --for 10m --yes"+config, veer+" undrain eu-west --reason 'tried' --yes"+config)
	s.say("\nCtrl-C stops everything. Logs and data are in %s; delete it when you like.", s.o.dir)
	s.say("\nWhat happens:")
}

func (s *show) try(what string, commands ...string) {
	s.say("\n  %s", what)
	for _, c := range commands {
		s.say("    %s", strings.TrimSpace(c))
	}
}
