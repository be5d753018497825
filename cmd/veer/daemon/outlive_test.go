package daemon_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/daemon"
)

// sign closes a channel when a text is logged.
type sign struct {
	text []byte
	once sync.Once
	seen chan struct{}
}

func (s *sign) Write(p []byte) (int, error) {
	if bytes.Contains(p, s.text) {
		s.once.Do(func() { close(s.seen) })
	}
	return len(p), nil
}

// TestTheAuthorityOutlivesEtcd spoils etcd's database: etcd gives up, and what
// was served is served on.
func TestTheAuthorityOutlivesEtcd(t *testing.T) {
	l := newLab(t)
	l.write("veer.yaml", string(oneVantage(t, l)))
	first := l.start("eu-west", daemon.RoleAll)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.halt("eu-west")
	db := filepath.Join(first.dataDir, "etcd", "member", "snap", "db")
	if err := os.WriteFile(db, bytes.Repeat([]byte("spoilt"), 1<<14), 0o600); err != nil {
		t.Fatal(err)
	}
	gaveUp := &sign{text: []byte("etcd gave up"), seen: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- daemon.Run(ctx, daemon.Options{Config: l.config("eu-west"), Version: "test", Log: zerolog.New(gaveUp),
			Hooks: daemon.Hooks{Serving: func(addresses []string) { l.server = addresses[0] }}})
	}()
	select {
	case <-gaveUp.seen:
	case err := <-done:
		t.Fatalf("the daemon ended with its etcd: %v", err)
	case <-time.After(patience):
		t.Fatal("nobody says that etcd gave up")
	}
	l.answers("127.0.0.12")
	stop()
	if err := <-done; err != nil {
		t.Errorf("the stop after: %v", err)
	}
}
