// Package tutorial is a guided game day in the terminal: three regions of toys
// and real Veers on loopback addresses, which the trainee breaks, watches,
// explains and mends with Veer's own commands.
//
// It works in a temporary folder of its own, listens on loopback only, and
// leaves no process, file or port behind, also after Ctrl-C. A kill -9 leaves
// the folder, and on Linux nothing else.
//
// A step is over when what it is about has happened: it asks the daemon and
// the DNS server, never a clock. The exit of a step does not depend on how the
// trainee made it happen; an order may come from another terminal.
package tutorial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// Options are the surroundings of a tutorial.
type Options struct {
	In  io.Reader // what the trainee types
	Out io.Writer // what is said
	// Asks: In is a terminal.
	Asks bool
	// Plain: no colour.
	Plain bool
	// Auto: the tutorial types everything itself, and reads nothing.
	Auto bool
	// From is the chapter to begin with; "" is the first.
	From string
	// Binary is the path of veer.
	Binary string
	// Parent is the folder in which the temporary one is made; "" is the
	// system's.
	Parent string
}

// The states of a chapter.
const (
	Done      = "done"
	Skipped   = "skipped" // a step of it, at least
	NotPlayed = "not played"
)

// Summary is what became of a tutorial. Durations are in nanoseconds.
type Summary struct {
	Chapters []Result  `json:"chapters"`
	Measured []Measure `json:"measured"`
	// Queries were asked of the DNS server all the time, one every 10 ms for
	// each service; Empty had no address, Lost no reply within a second, Failed
	// another code than NOERROR.
	Queries int `json:"queries"`
	Empty   int `json:"empty"`
	Lost    int `json:"lost"`
	Failed  int `json:"failed"`
	// Whole: every chapter was played, and no step skipped.
	Whole bool `json:"whole"`
}

// Result is one chapter.
type Result struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	State string `json:"state"`
	Hints int    `json:"hints"`
	Wrong int    `json:"wrong"` // answers
}

// Measure is a time that was measured, beside what is allowed, if anything is.
type Measure struct {
	What  string        `json:"what"`
	Took  time.Duration `json:"took"`
	Limit time.Duration `json:"limit,omitempty"`
}

// ErrStopped means that a signal or the end of the input came before the end.
var ErrStopped = errors.New("stopped before the end")

// ErrNoChapter means that Options.From names none.
var ErrNoChapter = errors.New("no such chapter")

// errQuit is the trainee's wish.
var errQuit = errors.New("quit")

// Run plays the tutorial. It keeps the calling goroutine on its thread, with
// which the processes of the scene would end.
func Run(ctx context.Context, o Options) (sum Summary, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	chapters := chapters()
	first, err := chapterOf(chapters, o.From)
	if err != nil {
		return sum, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := &game{o: o, paint: paint{o.Plain}}
	var wg sync.WaitGroup
	interrupts(ctx, cancel, &wg)
	if o.Asks {
		// Ctrl-Z would leave the regions running and the terminal to nobody.
		signal.Ignore(syscall.SIGTTOU, syscall.SIGTSTP)
		defer signal.Reset(syscall.SIGTTOU, syscall.SIGTSTP)
	}

	g.scene, err = newScene(o.Binary, o.Parent)
	defer func() {
		cancel(nil)
		wg.Wait()
		if gone := g.scene.strike(); gone != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", gone))
			return
		}
		g.say("Everything is stopped, and the temporary folder is removed.")
	}()
	if err != nil {
		return sum, err
	}
	if err := g.begin(ctx, &wg); err != nil {
		return sum, stopped(ctx, err)
	}
	err = g.play(ctx, chapters, first)
	sum = g.summary()
	if errors.Is(err, errQuit) {
		err = nil
	}
	if err == nil {
		g.conclude(sum)
	}
	return sum, stopped(ctx, err)
}

// stopped says of an error whether it only is the end of ctx.
func stopped(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStopped, context.Cause(ctx))
}

// interrupts ends the tutorial at a signal from now on. After the first one, a
// second ends this process at once.
func interrupts(ctx context.Context, cancel context.CancelCauseFunc, wg *sync.WaitGroup) {
	c := make(chan os.Signal, 1)
	// SIGPIPE: nobody reads any more what is said.
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	wg.Go(func() {
		defer signal.Stop(c)
		select {
		case s := <-c:
			cancel(fmt.Errorf("by the signal %q", s))
		case <-ctx.Done():
		}
	})
}

// begin starts the scene and asks its DNS server from then on.
func (g *game) begin(ctx context.Context, wg *sync.WaitGroup) error {
	g.para("This is a game day. Three regions start on this machine, each with web servers and a Veer of its own, and a name server in front of them. You break them, watch, explain and mend. Nothing outside is touched: all files are in " + g.scene.dir + ", all addresses are 127.0.0.x, and both are gone when you leave.")
	g.say("")
	if err := g.scene.start(); err != nil {
		return err
	}
	if err := g.await(ctx, "the three regions to start", g.calm); err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		to   **lab.Poller
	}{{app, &g.app}, {beta, &g.beta}} {
		poller, err := lab.NewPoller(g.scene.dns, p.name, pollEvery, time.Second)
		if err != nil {
			return err
		}
		*p.to = poller
		wg.Go(func() { _ = poller.Run(ctx) }) // what fails shows as answers that do not come
	}
	return g.learn(ctx)
}

// pollEvery is between two queries for each service, and so the error of a
// measured time.
const pollEvery = 10 * time.Millisecond
