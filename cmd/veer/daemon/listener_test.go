package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
)

// TestWritesAreCountedByOutcome: what a provider says decides, however it is
// wrapped.
func TestWritesAreCountedByOutcome(t *testing.T) {
	d := &daemon{metrics: metrics.New(metrics.Options{Read: func(context.Context) metrics.Reading { return metrics.Reading{} }})}
	for n, err := range []error{nil, providers.ErrFenced, providers.ErrConflict, errors.New("any")} {
		for range n + 1 {
			if err != nil {
				err = fmt.Errorf("writing: %w", err)
			}
			d.counted(controller.Written{Name: "aws"}, err)
		}
	}
	w := httptest.NewRecorder()
	d.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for n, outcome := range []string{"ok", "fenced", "conflict", "error"} {
		if line := fmt.Sprintf("veer_provider_writes_total{outcome=%q,provider=\"aws\"} %d\n", outcome, n+1); !strings.Contains(w.Body.String(), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// TestSeats: who comes beyond the bound is refused, and a seat that was left is
// given again.
func TestSeats(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newSeats(inner, 1)
	taken := make(chan net.Conn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken <- c
		}
	}()
	open := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := open()
	seat := <-taken
	second := open()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("two have one seat")
	}
	if err := errors.Join(seat.Close(), first.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	_ = seat.Close() // leaves it once
	third := open()
	if err := errors.Join((<-taken).Close(), third.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// TestCertificateIsReadAnew: a new certificate is served without a restart, and
// one that cannot be read is not.
func TestCertificateIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	issue := func(at time.Time) {
		t.Helper()
		if _, err := IssueCert(dir, "lab", "eu-west", []string{"127.0.0.1"}, time.Now(), CertLife, true); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"eu-west.pem", "eu-west.key"} {
			if err := os.Chtimes(filepath.Join(dir, file), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := InitCA(dir, "lab", time.Now(), CALife, false); err != nil {
		t.Fatal(err)
	}
	p := &pairFile{cert: filepath.Join(dir, "eu-west.pem"), key: filepath.Join(dir, "eu-west.key")}
	if _, err := p.get(nil); err == nil {
		t.Error("a certificate out of nothing")
	}
	now := time.Now()
	issue(now)
	first, err := p.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	issue(now.Add(time.Second))
	second, err := p.get(nil)
	if err != nil || second.Leaf.SerialNumber.Cmp(first.Leaf.SerialNumber) == 0 {
		t.Errorf("the old certificate is served still (%v)", err)
	}
	if err := os.WriteFile(p.key, []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third, err := p.get(nil); err != nil || third != second {
		t.Errorf("with a spoilt key: %v", err)
	}
}

// TestTheListenerIsTriedAgain: that its port is taken ends nothing, and it is
// had when it is free.
func TestTheListenerIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listens := make(chan string, 1)
	failed := make(chan struct{}, 100)
	log := zerolog.New(io.Discard).Hook(zerolog.HookFunc(func(_ *zerolog.Event, level zerolog.Level, _ string) {
		if level == zerolog.ErrorLevel {
			failed <- struct{}{}
		}
	}))
	d := &daemon{
		o: Options{Log: log, Hooks: Hooks{HTTP: func(address string) { listens <- address }}}, parts: newParts(log),
		metrics: metrics.New(metrics.Options{Read: func(context.Context) metrics.Reading { return metrics.Reading{} }}),
	}
	c := new(config.Config)
	c.Host.HTTP.Listen = taken.Addr().String()
	d.configure(c)
	if err := d.startHTTP(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-failed
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-listens:
	case err := <-d.parts.failed:
		t.Error(err)
	case <-time.After(time.Minute):
		t.Error("it does not listen when the port is free")
	}
	for _, p := range d.parts.list {
		p.end()
		<-p.done
	}
}
