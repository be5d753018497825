package checktest

import (
	"context"
	"testing"

	"github.com/veerdns/veer/checks"
)

// watch requires that a watcher comes back when the connection is lost, with
// a sentence, and with nil when it was told to end; and that it sends nothing
// that the server did not need for a handshake.
func (k Kit) watch(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		if err := k.watcher(t).Watch(t.Context(), Refused(t, "tcp", "127.0.0.1")); err == nil {
			t.Error("no error, though nothing listens")
		}
	})
	t.Run("closed", func(t *testing.T) {
		if err := k.watcher(t).Watch(t.Context(), Close(t).Target); err == nil {
			t.Error("no error, though the server closed the connection")
		}
	})
	t.Run("reset", func(t *testing.T) {
		if err := k.watcher(t).Watch(t.Context(), Reset(t).Target); err == nil {
			t.Error("no error, though the server reset the connection")
		}
	})
	t.Run("ended", func(t *testing.T) {
		s := Hang(t, "tcp")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		returned := make(chan error, 1)
		go func() { returned <- k.watcher(t).Watch(ctx, s.Target) }()
		s.AwaitCaller(t)
		cancel()
		if err := <-returned; err != nil {
			t.Errorf("%v, expected nil after the context ended", err)
		}
		s.AwaitGone(t)
	})
}

func (k Kit) watcher(t *testing.T) checks.Watcher { return k.New(t).(checks.Watcher) }
