package prober

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// Prober is a vantage's loop. Make one with New.
type Prober struct {
	vantage regions.Name
	booth   Booth
	log     zerolog.Logger
	renew   time.Duration
	seed    uint64
	// jobs are voted on, in the order of the ballot. While Run does, the loop
	// alone changes these and what follows from them, with mu held.
	jobs       []*job
	references []*job
	desk       *desk
	asks       chan *ask
	replacing  chan struct{} // has room for one: others is another one
	others     atomic.Pointer[jobs]
	// room is how many probes may be in flight, rate how many probes a second
	// others' suspicions may start.
	room int
	rate float64
	// clock is the time since some start, on the monotonic clock.
	clock func() time.Duration

	engine Engine // nil: none

	mu   sync.Mutex
	late lateness
	last []last // by the jobs' numbers
}

// New checks the options and makes a Prober that has probed nothing yet. The
// error names every problem.
func New(o Options) (*Prober, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("prober of vantage %q: %w", o.Vantage, err)
	}
	p := &Prober{vantage: o.Vantage, booth: o.Booth, log: o.Log, renew: o.Renew, asks: make(chan *ask), replacing: make(chan struct{}, 1), seed: o.Seed, engine: o.Engine}
	fill(&p.renew, time.Second)
	for i, j := range o.Jobs {
		p.jobs = append(p.jobs, p.newJob(j, i))
	}
	for _, j := range o.References {
		p.references = append(p.references, p.newJob(j, reference))
	}
	for i, j := range p.all() {
		j.number = i
		p.last = append(p.last, last{id: j.Endpoint})
	}
	p.measure()
	p.desk = newDesk(o.Vantage, p.jobs)
	start := time.Now()
	p.clock = func() time.Duration { return time.Since(start) }
	return p, nil
}

// measure sets what follows from how many probes there are.
func (p *Prober) measure() {
	p.room = room(p.all())
	p.rate = suspicionRate(p.jobs)
}

func (o Options) check() error {
	var errs []error
	if o.Vantage == "" {
		errs = append(errs, errors.New("it needs a name"))
	}
	if o.Booth == nil {
		errs = append(errs, errors.New("it needs a booth"))
	}
	if o.Renew < 0 {
		errs = append(errs, fmt.Errorf("renew %s: expected more than 0", o.Renew))
	}
	return errors.Join(append(errs, checkJobs(o.Jobs, o.References))...)
}

// checkJobs names every problem of the jobs.
func checkJobs(voted, references []Job) error {
	var errs []error
	seen := make(map[regions.EndpointID]bool, len(voted))
	for _, j := range append(voted[:len(voted):len(voted)], references...) {
		if seen[j.Endpoint] {
			errs = append(errs, fmt.Errorf("endpoint %q is listed twice", j.Endpoint))
		}
		seen[j.Endpoint] = true
		if j.Prober == nil {
			errs = append(errs, fmt.Errorf("endpoint %q needs a prober", j.Endpoint))
		}
		j.Monitor.Check(func(field, format string, args ...any) {
			errs = append(errs, fmt.Errorf("endpoint %q, %s: %s", j.Endpoint, field, fmt.Sprintf(format, args...)))
		})
	}
	return errors.Join(errs...)
}

// all returns the jobs and the references.
func (p *Prober) all() []*job {
	return append(p.jobs[:len(p.jobs):len(p.jobs)], p.references...)
}

// Run probes and votes until ctx ends. Then it gives the seat up at once, and
// waits for everything that it started; a checker that breaks its contract and
// does not return when its context ends holds Run up. It returns nil. Run must
// be called at most once.
func (p *Prober) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	l := newLoop(p)
	suspicions := p.booth.Suspicions(ctx, p.vantage)
	wg.Go(func() { p.attend(ctx) })
	l.run(ctx, suspicions)
	wg.Wait()
	return nil
}

// Last returns the newest result of every endpoint and reference that has been
// probed. It is safe for concurrent use.
func (p *Prober) Last() map[regions.EndpointID]checks.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[regions.EndpointID]checks.Result, len(p.last))
	for _, l := range p.last {
		if l.probed {
			all[l.id] = l.result
		}
	}
	return all
}

// last is the newest result of an endpoint.
type last struct {
	id     regions.EndpointID
	result checks.Result
	probed bool
}

// Ballot returns what this vantage votes now, whether anybody hears it or not.
// It is safe for concurrent use.
func (p *Prober) Ballot() regions.Ballot {
	b, _ := p.desk.newest()
	return b
}

func (p *Prober) keep(j *job, r checks.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[j.number].result, p.last[j.number].probed = r, true
}

// maxWhy bounds the reason that goes into a vote, in bytes.
const maxWhy = 300

func shorten(why string) string {
	if len(why) <= maxWhy {
		return strings.ToValidUTF8(why, "?")
	}
	const more = "..."
	return strings.ToValidUTF8(why[:maxWhy-len(more)], "") + more
}
