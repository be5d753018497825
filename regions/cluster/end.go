package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
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

// give notes why etcd ended, unless that is known already.
func (e *end) give(err error) {
	e.once.Do(func() {
		e.err = err
		close(e.came)
	})
}

// strayed is what etcd says in a panic to who asks how it is in the second between
// the removal of its member and its own end, which says why.
const strayed = "failed to find local ID in cluster members"

// OnWrite implements zapcore.CheckWriteHook. etcd relies on it not to return.
func (e *end) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	if entry.Message == strayed {
		runtime.Goexit()
	}
	err := fmt.Errorf("%w: %s", ErrEnded, entry.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}
	e.give(err)
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
		defer func() {
			if r := recover(); r != nil { // bbolt panics over a page that it cannot read
				e.give(fmt.Errorf("%w: %v", ErrEnded, r))
			}
		}()
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

// ErrSpoilt means that etcd cannot open its data folder. It will not at the
// next start either: somebody must act, as the message says.
var ErrSpoilt = errors.New("etcd cannot open its data folder")

// SpoiltError is an ErrSpoilt with the folder to move away.
type SpoiltError struct {
	Folder string
	Err    error
}

func (e *SpoiltError) Error() string {
	return fmt.Sprintf("%v: %v; move %s away: with other members it rejoins and gets the ledger from them, alone it begins anew from what is served", ErrSpoilt, e.Err, e.Folder)
}

// Unwrap makes it an ErrSpoilt.
func (e *SpoiltError) Unwrap() []error { return []error{ErrSpoilt, e.Err} }

// spoilt is what a failed start of etcd on its old folder means: where neither
// the disk's state nor a port is the reason, the folder is.
func (m *member) spoilt(err error) error {
	for _, other := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EADDRINUSE, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, other) || strings.Contains(err.Error(), other.Error()) {
			return err
		}
	}
	if !errors.Is(err, ErrEnded) { // etcd gives up over its database; of its log it says no more than what it found
		if _, bad := wal.ValidSnapshotEntries(zap.NewNop(), filepath.Join(m.inner, "member", "wal")); bad == nil {
			return err
		}
	}
	return &SpoiltError{Folder: m.inner, Err: err}
}

// Ended is closed when the embedded etcd has given up; nil without one.
func (c *Cluster) Ended() <-chan struct{} {
	if c.member == nil {
		return nil
	}
	return c.member.end.came
}

// Err is why the embedded etcd gave up, an ErrEnded or ErrRemoved; nil while it has not.
func (c *Cluster) Err() error {
	if c.member == nil {
		return nil
	}
	return c.member.end.error()
}
