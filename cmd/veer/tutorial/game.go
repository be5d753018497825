package tutorial

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
)

// patience bounds every wait for an event; no step is over by waiting so long.
const patience = time.Minute

// game is a tutorial that is played, by one goroutine.
type game struct {
	o     Options
	paint paint
	scene *scene
	in    *bufio.Reader
	lines chan typed

	app, beta *lab.Poller
	// The rto of the services, their computed worst case, and the TTL in that.
	limit, worst, ttl time.Duration

	// Of the current step: the commands that were run, and when the last line
	// was typed that could have done something.
	ran   []command
	acted time.Time
	// Of the current chapter.
	result *Result
	memory memory

	results  []Result
	measured []Measure
}

// memory is what one step of a chapter notes for the next.
type memory struct {
	leader api.Leader // as it was when it was paused
	paused time.Time
	moved  string // when the answer moved, as the journal has it
}

// typed is a line of input.
type typed struct {
	text string
	err  error
}

// command is one that ran, with how it ended.
type command struct {
	words []string
	exit  int
}

// step is one thing to do.
type step struct {
	// ready: it can be solved; nil is at once.
	ready func(*game, api.Status) bool
	text  func(*game) string
	// do is what solves it, as typed: the hint shows it, and skip types it.
	do func(*game) []string
	// tried says what is still to be done by the trainee; "" is nothing.
	tried func(*game, api.Status) string
	// done: it has had its effect; nil is at once.
	done func(*game, api.Status) bool
	// after is said at the end; nil is nothing.
	after func(*game) string
	// answer is the right answer of a question; nil: it is none.
	answer func(*game, api.Status) string
}

// chapter is some steps that begin with everything in order and the traffic in
// one region.
type chapter struct {
	name, title string
	begins      regions.Name
	// prepare may break something that the trainee cannot see yet.
	prepare func(*game) error
	steps   []step
}

func chapterOf(all []chapter, name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	var names []string
	for i, c := range all {
		if c.name == name {
			return i, nil
		}
		names = append(names, c.name)
	}
	return 0, fmt.Errorf("%w: %q; known: %s", ErrNoChapter, name, strings.Join(names, ", "))
}

// learn reads the promise that the times are held against.
func (g *game) learn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e, err := g.scene.client.Explain(ctx, app, "")
	if err != nil {
		return err
	}
	g.limit, g.worst, g.ttl = e.Budget.Limit, e.Budget.Total, time.Duration(e.Service.Steady)*time.Second
	return nil
}

func (g *game) play(ctx context.Context, all []chapter, first int) error {
	for _, c := range all[first:] {
		g.results = append(g.results, Result{Name: c.name, Title: c.title, State: NotPlayed})
	}
	g.para("Type what a step asks for, at the prompt here. hint shows it, skip has it typed for you, again repeats the step, help lists what you can type, quit leaves.")
	for i, c := range all[first:] {
		g.result, g.memory = &g.results[i], memory{}
		if err := g.reset(ctx, c.begins); err != nil {
			return err
		}
		g.say("\n%s", g.paint.bold(fmt.Sprintf("Chapter %d of %d: %s", first+i+1, len(all), c.title)))
		if c.prepare != nil {
			if err := c.prepare(g); err != nil {
				return err
			}
		}
		state := Done
		for _, s := range c.steps {
			skipped, err := g.perform(ctx, s)
			if err != nil {
				return err
			}
			if skipped {
				state = Skipped
			}
		}
		g.result.State = state
	}
	return nil
}

// perform plays one step to its end.
func (g *game) perform(ctx context.Context, s step) (skipped bool, err error) {
	g.ran, g.acted = nil, time.Time{}
	if s.ready != nil {
		if err := g.await(ctx, "the next step", func(st api.Status) bool { return s.ready(g, st) }); err != nil {
			return false, err
		}
	}
	g.say("")
	g.para(s.text(g))
	if g.o.Auto {
		return false, g.solve(ctx, s)
	}
	for {
		line, err := g.ask(ctx)
		if err != nil {
			return false, err
		}
		switch {
		case line == "" && s.answer != nil:
			continue
		case line == "quit" || line == "exit":
			return false, errQuit
		case line == "help":
			g.help()
			continue
		case line == "again":
			g.para(s.text(g))
			continue
		case line == "hint":
			g.result.Hints++
			g.say("Type:")
			for _, l := range s.do(g) {
				g.say("  %s", g.paint.code(l))
			}
			continue
		case line == "skip":
			err := g.solve(ctx, s)
			if errors.Is(err, lab.ErrLate) || errors.Is(err, errUnsolved) {
				g.say("%v", err) // by what else was done; the next chapter sets all right
				err = nil
			}
			return true, err
		}
		over, err := g.attempt(ctx, s, line, true)
		if errors.Is(err, lab.ErrLate) {
			g.say("%v", err)
			g.para("Has something else been broken or ordered? fix all mends, and veer status lists the orders, which can be ended.")
			continue
		}
		if over || err != nil {
			return false, err
		}
	}
}

// solve types what solves a step. That it does is checked as for a trainee.
func (g *game) solve(ctx context.Context, s step) error {
	lines := s.do(g)
	for i, line := range lines {
		g.say("%s%s", g.paint.bold(prompt), line)
		over, err := g.attempt(ctx, s, line, i == len(lines)-1)
		if over || err != nil {
			return err
		}
		if i == len(lines)-1 {
			return fmt.Errorf("%w by %q", errUnsolved, lines)
		}
	}
	return nil
}

// attempt carries out a line and tells whether the step is over. The last one
// is told what is missing.
func (g *game) attempt(ctx context.Context, s step, line string, last bool) (bool, error) {
	known, err := g.obey(ctx, line)
	if err != nil {
		return false, err
	}
	var st api.Status
	if err := g.await(ctx, "the daemon to answer", func(is api.Status) bool { st = is; return true }); err != nil {
		return false, err
	}
	switch {
	case !known && s.answer != nil:
		if right := s.answer(g, st); !same(line, right) {
			g.result.Wrong++
			g.say("%s", g.paint.bad("No, it is not "+line+". Look again, or type hint."))
			return false, nil
		}
		g.say("%s", g.paint.good("Right."))
	case !known:
		g.say("%q is nothing that can be typed here; help lists what can.", line)
		return false, nil
	case s.answer != nil:
		return false, nil
	case s.tried != nil:
		if missing := s.tried(g, st); missing != "" {
			if last {
				g.say("Not yet: %s.", missing)
			}
			return false, nil
		}
	}
	if s.done != nil {
		if err := g.await(ctx, "this to have its effect", func(st api.Status) bool { return s.done(g, st) }); err != nil {
			return false, err
		}
	}
	if s.after != nil {
		g.para(s.after(g))
	}
	return true, nil
}

// errUnsolved is a step that its own solution does not end.
var errUnsolved = errors.New("this step is not solved")

func same(a, b string) bool {
	return strings.EqualFold(strings.Trim(a, " .\""), b)
}

// await asks for the status again and again until it is as wanted.
func (g *game) await(ctx context.Context, what string, ok func(api.Status) bool) error {
	err := lab.Until(ctx, 20*time.Millisecond, patience, func() (bool, error) {
		st, err := g.scene.status(ctx)
		if err == nil && ok(st) {
			return true, nil
		}
		return false, g.scene.lost()
	})
	if errors.Is(err, lab.ErrLate) {
		return fmt.Errorf("%w for %s; the last lines of the name server's log:\n%s", err, what, lab.Tail(g.scene.log(ns), 10))
	}
	return err
}

const prompt = "tutorial> "

// ask reads a line. Reading goes on in a goroutine when ctx ends, since
// nothing ends a read from a terminal but the process; it reads one line at a
// time, so that a command of the trainee gets its own.
func (g *game) ask(ctx context.Context) (string, error) {
	if g.lines == nil {
		g.in, g.lines = bufio.NewReaderSize(io.LimitReader(g.o.In, maxInput), 1<<10), make(chan typed, 1)
	}
	fmt.Fprint(g.o.Out, g.paint.bold(prompt))
	go func() {
		text, err := g.in.ReadString('\n')
		g.lines <- typed{text, err}
	}()
	select {
	case l := <-g.lines:
		text := strings.TrimSpace(l.text)
		if !g.o.Asks {
			g.say("%s", text)
		}
		if l.err != nil && text == "" {
			if errors.Is(l.err, io.EOF) {
				l.err = errors.New("the input ended")
			}
			return "", fmt.Errorf("%w: %w", ErrStopped, l.err)
		}
		return text, nil
	case <-ctx.Done():
		g.say("")
		return "", ctx.Err()
	}
}

// maxInput bounds what may be typed, in bytes.
const maxInput = 1 << 20

func (g *game) measure(what string, took, limit time.Duration) string {
	g.measured = append(g.measured, Measure{what, took, limit})
	return fmt.Sprintf("%.2f s", took.Seconds())
}

func (g *game) summary() Summary {
	s := Summary{Chapters: g.results, Measured: slices.Clone(g.measured), Whole: true}
	for _, r := range g.results {
		s.Whole = s.Whole && r.State == Done
	}
	for _, p := range []*lab.Poller{g.app, g.beta} {
		c := p.Counts()
		s.Queries, s.Empty, s.Lost, s.Failed = s.Queries+c.Sent, s.Empty+c.Empty, s.Lost+c.Unanswered, s.Failed+c.Failed
	}
	return s
}
