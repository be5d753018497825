package daemon

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
)

// certified is a config whose host has certificates that live so long.
func certified(t *testing.T, life time.Duration) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if _, err := InitCA(dir, "lab", time.Now(), CALife, false); err != nil {
		t.Fatal(err)
	}
	if _, err := IssueCert(dir, "lab", "eu", nil, time.Now(), life, false); err != nil {
		t.Fatal(err)
	}
	c := &config.Config{Owner: "lab"}
	c.Host.TLS = config.TLS{CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "eu.pem"), KeyFile: filepath.Join(dir, "eu.key")}
	return c
}

// TestExpiryIsLoggedDaily: from 30 days before the end on, once a day.
func TestExpiryIsLoggedDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log guarded
		d := &daemon{o: Options{Log: zerolog.New(&log)}}
		d.configure(certified(t, 33*24*time.Hour-time.Hour))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.watchCertificates(ctx) }()
		for day := range 34 {
			synctest.Wait()
			text := log.take()
			switch {
			case day < 3 && text != "":
				t.Errorf("day %d: %s", day, text)
			case day >= 3 && day < 33 && (strings.Count(text, "\n") != 1 || !strings.Contains(text, "expires on")):
				t.Errorf("day %d: %q", day, text)
			case day == 33 && !strings.Contains(text, "expired on"):
				t.Errorf("day %d: %q", day, text)
			}
			time.Sleep(24 * time.Hour)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// guarded is a log that is read while it is written.
type guarded struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.Write(p)
}

// take empties it.
func (g *guarded) take() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.buf.Reset()
	return g.buf.String()
}
