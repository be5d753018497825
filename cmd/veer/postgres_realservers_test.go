//go:build realservers

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/internal/pages"
)

// The addresses of docs/tutorials/postgresql.md, and where they are in the test.
const (
	northShown, north = "10.10.2.10", "127.0.0.31"
	southShown, south = "10.20.2.10", "127.0.0.32"
)

const (
	rw = "rw.db.corp.example"
	ro = "ro.db.corp.example"
)

// databases are two real servers of PostgreSQL on one port of two addresses.
type databases struct {
	t      *testing.T
	folder string
	at     uint16
	port   string // at
	stops  map[string]func()
}

// asNobody is a command of PostgreSQL, which refuses to run as root.
func (d *databases) asNobody(name string, args ...string) *exec.Cmd {
	words := append([]string{filepath.Join("/usr/lib/postgresql/15/bin", name)}, args...)
	if os.Geteuid() == 0 {
		words = append([]string{"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"}, words...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = d.folder, append(os.Environ(), "HOME="+d.folder, "LC_ALL=C", "PGPASSWORD=admin")
	return cmd
}

func (d *databases) run(name string, args ...string) {
	d.t.Helper()
	if out, err := d.asNobody(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// newDatabases makes the primary's data, with what the tutorial says to run.
func newDatabases(t *testing.T, script string) *databases {
	t.Helper()
	folder, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(folder, "admin"), "admin\n")
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, err := strconv.Atoi(nobody.Uid)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{folder, filepath.Join(folder, "admin")} {
			if err := os.Chown(path, uid, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := &databases{t: t, folder: folder, stops: map[string]func(){}, at: checktest.Refused(t, "tcp", north).Port}
	d.port = fmt.Sprint(d.at)
	d.run("initdb", "-D", d.data(north), "-U", "admin", "--pwfile="+filepath.Join(folder, "admin"), "-A", "scram-sha-256", "--no-locale", "-E", "UTF8", "-N")
	d.start(north)
	d.sql(north, script)
	d.run("pg_basebackup", "-D", d.data(south), "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", "host="+north+" port="+d.port+" user=admin password=admin")
	d.start(south)
	return d
}

func (d *databases) data(address string) string { return filepath.Join(d.folder, address) }

// start starts a server, until stop or the test's end.
func (d *databases) start(address string) {
	d.t.Helper()
	target := checks.Target{Name: "db@" + address, Host: address, Port: d.at}
	cmd := d.asNobody("postgres", "-D", d.data(address), "-p", d.port, "-c", "listen_addresses="+address, "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_wal_senders=4", "-c", "wal_keep_size=64MB", "-c", "wal_retrieve_retry_interval=100ms")
	daemon := checktest.Start(d.t, target, cmd.Args[0], cmd.Args[1:]...)
	stop := sync.OnceFunc(func() {
		d.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", d.data(address)) // frees its shared memory
		daemon.Kill()
	})
	d.stops[address] = stop
	d.t.Cleanup(stop)
}

func (d *databases) exec(ctx context.Context, address, statements string) error {
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%s user=admin password=admin dbname=postgres sslmode=disable", address, d.port))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statements).ReadAll()
	return err
}

// sql runs statements as soon as the server takes them.
func (d *databases) sql(address, statements string) {
	d.t.Helper()
	var last error
	err := lab.Until(d.t.Context(), again, time.Minute, func() (bool, error) {
		last = d.exec(d.t.Context(), address, statements)
		return last == nil, nil
	})
	if err != nil {
		d.t.Fatalf("%s on %s: %v: %v", statements, address, err, last)
	}
}

// again is how soon a database is asked again: what it does, only asking tells.
const again = 50 * time.Millisecond

// beats writes the heartbeat on whoever takes it, as the tutorial's loop does.
func (d *databases) beats(address string) (stop func()) {
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			_ = d.exec(ctx, address, "UPDATE heartbeat SET at = now()") // a server that is down takes none
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// here makes the tutorial's config one for this machine: one vantage, the
// test's addresses, no TLS, and half the lag, so that it is there sooner.
func (d *databases) here(t *testing.T, text string) string {
	t.Helper()
	for _, change := range [][2]string{
		{cut2(t, text, "cluster:\n", "regions:"), ""},
		{cut2(t, text, "vantages:", "providers:"), "vantages: [dc-north]\n\n"},
		{`"0.0.0.0:53"`, `"127.0.0.1:0"`}, {"10.0.0.0/8", "127.0.0.0/8"}, {"port: 5432", "port: " + d.port},
		{"{ca_file: db-ca.pem}", `{mode: "off"}`}, {"max_lag: 10s", "max_lag: 5s"},
		// A machine that is busy with other tests answers late.
		{"interval: 1s", "interval: 2s"}, {"timeout: 500ms", "timeout: 1900ms"}, {northShown, north}, {southShown, south},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("the tutorial's config has no %q", change[0])
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	return text + "host: {region: dc-north, data_dir: data}\n"
}

// cut2 is the part of a text from one mark up to another.
func cut2(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from)
	part, _, closed := strings.Cut(rest, to)
	if !ok || !closed {
		t.Fatalf("the tutorial's config has no part from %q to %q", from, to)
	}
	return from + part
}

// asks are the commands of a page that ask databases and name servers.
func asks(page string) (out []pages.Step) {
	_, fences := pages.Split(page)
	for _, f := range fences {
		for _, s := range f.Steps() {
			if s.Command != "veer validate" { // TestTutorials
				out = append(out, s)
			}
		}
	}
	return out
}

// untold is a text without what differs from one time to the next, and so where
// its lines end.
func untold(text string) string { return strings.Join(strings.Fields(pages.Same(text)), " ") }

// TestPostgresTutorial plays docs/tutorials/postgresql.md on two real servers:
// a replica that is too far behind gets no traffic, one that keeps up does, who
// writes goes where somebody was promoted, and a primary that comes back
// beside it gets nothing. The commands print what the page shows.
func TestPostgresTutorial(t *testing.T) {
	t.Parallel()
	files := readTutorial(t, "postgresql")
	d := newDatabases(t, files["veer.sql"])
	stop := d.beats(north)
	defer func() { stop() }()
	l := startLiveOn(t, d.here(t, files["veer.yaml"]), map[string]string{
		"db.password": "change-me\n", "db.corp.example.zone": files["db.corp.example.zone"]})

	page := filepath.Join(tutorials, "postgresql.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	changed := string(text)
	shown := asks(changed)
	show := func() {
		t.Helper()
		if len(shown) == 0 {
			t.Fatal("the page shows no further command")
		}
		one := shown[0]
		shown = shown[1:]
		args := strings.Fields(one.Command)[1:]
		if args[0] == "query" {
			args = append(args, "--server", l.server)
		}
		_, out := l.veer(args...)
		out = strings.NewReplacer(north+":"+d.port, northShown+":5432", south+":"+d.port, southShown+":5432", north, northShown, south, southShown, l.server, "10.10.0.10:53", "at most 5s", "at most 10s").Replace(out)
		switch {
		case untold(out) == untold(one.Output):
		case *update:
			changed = strings.Replace(changed, "$ "+one.Command+"\n"+one.Output, "$ "+one.Command+"\n"+out, 1)
		default:
			t.Errorf("%s prints\n%s\nand the page shows another output, write it with -update:\n%s", one.Command, out, one.Output)
		}
	}
	until := func(want string, args ...string) {
		t.Helper()
		text := ""
		err := lab.Until(t.Context(), again, time.Minute, func() (bool, error) {
			_, text = l.veer(args...)
			return strings.Contains(text, want), nil
		})
		if err != nil {
			t.Fatalf("veer %s: %v: no %q in:\n%s", strings.Join(args, " "), err, want, text)
		}
	}
	answers := func(name, address string) {
		t.Helper()
		until(" IN A "+address, "query", name, "--server", l.server)
	}
	pool := func(name, is string) {
		t.Helper()
		until("\n  "+is+", ", "explain", name)
	}

	pool(rw, "dc-north: up")
	pool(ro, "dc-south: up")
	answers(rw, north)
	answers(ro, north)
	show() // check rw: the replica takes no writes

	// Too far behind: it gets nothing, also when the primary is lost.
	d.sql(south, "SELECT pg_wal_replay_pause()")
	pool(ro, "dc-south: down")
	show() // check ro
	d.stops[north]()
	pool(ro, "dc-north: down")
	pool(rw, "dc-north: down")
	answers(ro, north)
	show() // query ro

	// The same loss of a replica that keeps up.
	d.start(north)
	pool(ro, "dc-north: up") // before the replica: traffic would go to it
	pool(rw, "dc-north: up")
	d.sql(south, "SELECT pg_wal_replay_resume()")
	pool(ro, "dc-south: up")
	answers(ro, north)
	d.stops[north]()
	answers(ro, south)
	show() // query ro
	pool(rw, "dc-north: down")
	answers(rw, north)
	show() // query rw: nobody takes writes, so nothing moves

	// Somebody promotes; writes go there.
	d.sql(south, "SELECT pg_promote()")
	answers(rw, south)
	show() // query rw
	stop()
	stop = d.beats(south)

	// The old primary comes back, and does not know: two primaries.
	d.start(north)
	pool(rw, "dc-north: up")
	answers(rw, south)
	show() // check rw: both say that they take writes
	// It is fenced; now it is not one to write to.
	d.sql(north, "ALTER SYSTEM SET default_transaction_read_only = on")
	d.sql(north, "SELECT pg_reload_conf()")
	pool(rw, "dc-north: down")
	answers(rw, south)
	show() // check rw

	if len(shown) > 0 {
		t.Errorf("the page shows commands that nobody ran: %q", shown)
	}
	if *update {
		write(t, page, changed)
	}
}

// The comparison sees what it must.
func TestUntold(t *testing.T) {
	a := "up    1.2 ms  is a primary\n  after 1.3ms\n"
	if untold(a) != untold("up  34 ms   is a primary after 2s") || untold(a) == untold("up 1.2 ms is a replica after 1.3ms") {
		t.Error("the check proves nothing")
	}
	if got := asks("```\n$ veer validate\nvalid\n\n$ veer query a\nb\n```"); !slices.Equal(got, []pages.Step{{Command: "veer query a", Output: "b\n"}}) {
		t.Errorf("the commands are %q", got)
	}
}
