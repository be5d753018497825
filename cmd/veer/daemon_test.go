package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions/steering"
)

const liveConfig = `owner: example
regions: [eu-west, us-east]
vantages: [eu-west]
providers:
  here: {kind: authority, listen: ["127.0.0.1:0"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: exec, command: [/bin/true], interval: 1s, timeout: 900ms}
services:
  - name: app.example.test
    monitor: web
    pools:
      - {region: eu-west, endpoints: [192.0.2.10]}
      - {region: us-east, endpoints: [198.51.100.10]}
host: {region: eu-west, data_dir: data}
`

const liveZone = "@ 300 IN SOA ns1 hostmaster 1 7200 900 1209600 300\n@ 300 IN NS ns1\nns1 300 IN A 127.0.0.1\n"

// live is a real daemon that runs in this process until the test ends.
type live struct {
	t      *testing.T
	path   string
	server string
	// moved tells that something was committed or is now served.
	moved chan struct{}
}

func startLive(t *testing.T) *live { return startLiveOn(t, liveConfig, nil) }

// startLiveOn starts a daemon on a config that names further files.
func startLiveOn(t *testing.T, text string, more map[string]string) *live {
	t.Helper()
	dir, err := os.MkdirTemp("", "v") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	l := &live{t: t, path: filepath.Join(dir, "veer.yaml"), moved: make(chan struct{}, 1)}
	files := map[string]string{"veer.yaml": text, "example.test.zone": liveZone}
	maps.Copy(files, more)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(l.path, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	serving, ended := make(chan string, 1), make(chan error, 1)
	o := daemon.Options{Config: c, ConfigPath: l.path, Version: version, Log: zerolog.Nop(), Hooks: daemon.Hooks{
		Serving:     func(addresses []string) { serving <- addresses[0] },
		AfterCommit: func(steering.Shard) { l.kick() },
		Swapped:     func([]steering.Shard) { l.kick() },
	}}
	go func() { ended <- daemon.Run(ctx, o) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case l.server = <-serving:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return l
}

func (l *live) kick() {
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

// veer runs a command against the daemon and returns its exit code and all
// that it printed.
func (l *live) veer(args ...string) (int, string) {
	l.t.Helper()
	s := newSession(nil, "", nil)
	s.dial = dialDaemon
	code := s.run(l.t.Context(), append(args, "-c", l.path))
	return code, s.stdout.String() + s.stderr.String()
}

// expect runs a command once.
func (l *live) expect(code int, want string, args ...string) {
	l.t.Helper()
	is, text := l.veer(args...)
	if is != code || !strings.Contains(text, want) {
		l.t.Fatalf("veer %s: exit code %d, expected %d; expected %q in:\n%s", strings.Join(args, " "), is, code, want, text)
	}
}

// until runs a command after everything that moves, until it prints want.
func (l *live) until(want string, args ...string) {
	l.t.Helper()
	l.matches(regexp.QuoteMeta(want), args...)
}

// matches is until for a regular expression.
func (l *live) matches(want string, args ...string) {
	l.t.Helper()
	pattern := regexp.MustCompile(want)
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	for {
		_, text := l.veer(args...)
		if pattern.MatchString(text) {
			return
		}
		select {
		case <-l.moved:
		case <-patience.C:
			l.t.Fatalf("veer %s: no %q in:\n%s", strings.Join(args, " "), want, text)
		}
	}
}

// An operator's hour: look, drain, look, be refused, undrain, read the journal.
func TestAgainstADaemon(t *testing.T) {
	l := startLive(t)
	l.until("eu-west up 1/1, us-east up 1/1", "status")
	l.expect(exitDone, "OK  1 service", "status")
	l.until("IN A 192.0.2.10", "query", "app.example.test", "--server", l.server)
	l.expect(exitDone, "eu-west is up and keeps its traffic", "explain", "app.example.test")

	l.expect(exitUsage, "did you mean eu-west?", "drain", "eu-wst", "--for", "1h", "--reason", "test", "-y")
	l.expect(exitDone, "192.0.2.10 -> 198.51.100.10", "drain", "eu-west", "--for", "1h", "--reason", "test", "-y")
	l.expect(exitDone, "IN A 198.51.100.10", "query", "app.example.test", "--server", l.server, "--tcp")
	l.expect(exitDegraded, "lea: test", "status")
	l.expect(exitRefused, "without an endpoint", "drain", "us-east", "--for", "1h", "--reason", "test", "-y")
	l.expect(exitDone, "End drain of eu-west: done, in force after ", "undrain", "eu-west", "--reason", "done", "-y")
	l.expect(exitDone, "IN A 192.0.2.10", "query", "app.example.test", "--server", l.server)

	l.expect(exitDone, "198.51.100.10 -> 192.0.2.10", "journal", "app.example.test")
	l.expect(exitDone, "ended  drain eu-west\n    by lea: done", "journal", "--orders")
	l.expect(exitUsage, "--orders lists all orders", "journal", "--orders", "app.example.test")
	l.expect(exitDone, "decided again alike", "journal", "--replay")
	l.expect(exitUsage, "", "explain", "none.example.test")
}
