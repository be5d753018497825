package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// play prints events and serves requests until ctx ends.
func (s *show) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	poller, err := lab.NewPoller(s.o.dns, name, 10*time.Millisecond, time.Second)
	if err != nil {
		return err
	}
	wg.Go(func() { _ = poller.Run(ctx) })
	requests := make(chan request)
	closed, err := control(ctx, requests)
	if err != nil {
		return err
	}
	defer closed()
	defer cancel()
	lines := make(chan logged)
	for _, v := range s.veers {
		wg.Go(func() { follow(ctx, v.Log, v.Name, lines) })
	}
	return s.loop(ctx, poller, requests, lines)
}

func (s *show) loop(ctx context.Context, poller *lab.Poller, requests <-chan request, lines <-chan logged) error {
	seen, last := 0, ""
	for {
		changes, news := poller.Changes(seen)
		for _, c := range changes {
			if seen == 0 {
				s.intro(c.Answer)
			} else {
				s.notes.add(moved, c.At, "the DNS answer is now %s (%s); it was %s", c.Answer, region(c.Answer), last)
			}
			seen, last = seen+1, c.Answer
		}
		var due <-chan time.Time
		if wait := s.print(time.Now()); wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-due:
		case <-ctx.Done():
			s.print(time.Now().Add(settle))
			s.say("\nStopping.")
			return nil
		case <-news:
		case r := <-requests:
			r.reply <- s.obey(r)
		case l := <-lines:
			s.tell(l)
		case p := <-s.ended:
			if slices.Contains(s.veers, p) || s.toys[s.regionOf(p)] == p {
				return died(p)
			}
		}
	}
}

// print prints the events that have settled and returns when to come again.
func (s *show) print(now time.Time) time.Duration {
	lines, wait := s.notes.due(now)
	for _, l := range lines {
		s.say("%s", l)
	}
	return wait
}

func (s *show) regionOf(p *lab.Process) string {
	for r, toy := range s.toys {
		if toy == p {
			return r
		}
	}
	return ""
}

func region(address string) string {
	for _, p := range places() {
		if p.Address == address {
			return p.Name
		}
	}
	return "several"
}

// obey carries a request out and returns one sentence.
func (s *show) obey(r request) string {
	i := slices.IndexFunc(places(), func(p place) bool { return p.Name == r.region })
	if i < 0 || !slices.Contains(acts(), r.act) {
		return fmt.Sprintf("error found %q %q; expected down, hang or up and a region", r.act, r.region)
	}
	toy, up := s.toys[r.region]
	did := ""
	at := time.Now()
	switch {
	case r.act == "down" && !up:
		return "The web server of " + r.region + " is down already."
	case r.act == "down":
		delete(s.toys, r.region)
		delete(s.hung, r.region)
		toy.Kill()
		did = "was killed"
	case r.act == "hang" && !up:
		return "error the web server of " + r.region + " is down; start it first: up " + r.region
	case r.act == "hang":
		if err := toy.Signal(syscall.SIGSTOP); err != nil {
			return "error " + err.Error()
		}
		s.hung[r.region] = true
		did = "hangs"
	case !up:
		if err := s.startToy(places()[i]); err != nil {
			return "error " + err.Error()
		}
		at = time.Now()
		did = "is started again"
	case s.hung[r.region]:
		if err := toy.Signal(syscall.SIGCONT); err != nil {
			return "error " + err.Error()
		}
		delete(s.hung, r.region)
		did = "goes on"
	default:
		return "The web server of " + r.region + " is up already."
	}
	s.notes.add(acted, at, "the web server of %s %s", r.region, did)
	return "The web server of " + r.region + " " + did + "."
}
