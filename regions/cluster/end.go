package cluster

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// ErrEnded means that the embedded etcd has given up, as it does when its disk
// is full or fails. Nothing but a new process can start it again: it leaves
// locks and files behind.
var ErrEnded = errors.New("the embedded etcd gave up")

// end is the end of an embedded etcd that gave up. By itself etcd would end
// the whole process, and with it the authority that needs no etcd to answer;
// here only the goroutine ends that gave up, so that it acknowledges nothing.
type end struct {
	once sync.Once
	came chan struct{} // closed when etcd gave up
	err  error         // why, once came is closed
}

func newEnd() *end { return &end{came: make(chan struct{})} }

func (e *end) options() []zap.Option {
	return []zap.Option{zap.WithFatalHook(e), zap.WithPanicHook(e)}
}

// OnWrite implements zapcore.CheckWriteHook. etcd relies on it not to return.
func (e *end) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	e.once.Do(func() {
		e.err = fmt.Errorf("%w: %s", ErrEnded, entry.Message)
		for _, f := range fields {
			if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
				e.err = fmt.Errorf("%w: %w", e.err, err)
			}
		}
		close(e.came)
	})
	runtime.Goexit()
}

// error is why etcd gave up; nil while it has not.
func (e *end) error() error {
	select {
	case <-e.came:
		return e.err
	default:
		return nil
	}
}

// start starts etcd in a goroutine that may end by OnWrite.
func (e *end) start(cfg *embed.Config) (*embed.Etcd, error) {
	type started struct {
		etcd *embed.Etcd
		err  error
	}
	result := make(chan started, 1)
	go func() { // it ends when etcd is started, or gave up
		etcd, err := embed.StartEtcd(cfg)
		result <- started{etcd, err}
	}()
	select {
	case s := <-result:
		return s.etcd, s.err
	case <-e.came:
		return nil, e.err
	}
}

// Ended is closed when the embedded etcd has given up; nil without one.
func (c *Cluster) Ended() <-chan struct{} {
	if c.member == nil {
		return nil
	}
	return c.member.end.came
}

// Err is why the embedded etcd gave up, an ErrEnded; nil while it has not.
func (c *Cluster) Err() error {
	if c.member == nil {
		return nil
	}
	return c.member.end.error()
}
