package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

// parts are the running parts of a process, in the order of their start.
type parts struct {
	log  zerolog.Logger
	list []*part
	// failed receives the error of the first part that ended by itself.
	failed chan error
}

// part is one goroutine with its end.
type part struct {
	name string
	end  context.CancelFunc
	done chan struct{}
	err  error // once done is closed
}

func newParts(log zerolog.Logger) *parts {
	return &parts{log: log, failed: make(chan error, 1)}
}

// start runs a part until stop. It is not called after stop.
func (p *parts) start(name string, run func(ctx context.Context) error) {
	ctx, end := context.WithCancel(context.Background())
	part := &part{name: name, end: end, done: make(chan struct{})}
	p.list = append(p.list, part)
	go func() {
		defer close(part.done)
		err := run(ctx)
		if ctx.Err() != nil {
			if !errors.Is(err, context.Canceled) {
				part.err = err
			}
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		select {
		case p.failed <- fmt.Errorf("%s: %w", name, err):
		default: // another part failed first
		}
	}()
}

// stop ends the parts in reverse order, each after the one before it is done,
// all within the given time.
func (p *parts) stop(within time.Duration) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	var errs []error
	for i := len(p.list) - 1; i >= 0; i-- {
		part := p.list[i]
		part.end()
		select {
		case <-part.done:
			if part.err != nil {
				errs = append(errs, fmt.Errorf("stopping %s: %w", part.name, part.err))
			}
			p.log.Debug().Str("part", part.name).Msg("stopped")
		case <-deadline.C:
			return errors.Join(append(errs, fmt.Errorf("%s did not stop within %s", part.name, within))...)
		}
	}
	return errors.Join(errs...)
}
