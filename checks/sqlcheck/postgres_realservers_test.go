//go:build realservers

package sqlcheck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/certtest"
	"github.com/veerdns/veer/checks/sqlcheck"
)

// pgDir holds the programs of Debian's PostgreSQL 15.
const pgDir = "/usr/lib/postgresql/15/bin/"

// startPostgres starts a server of a data folder, and waits until it serves.
func startPostgres(t *testing.T, folder, data string) (target checks.Target, pid int) {
	target = checktest.Refused(t, "tcp", "127.0.0.1")
	daemon := start(t, target, pgDir+"postgres", "-D", filepath.Join(folder, data), "-k", folder, "-p", fmt.Sprint(target.Port),
		"-c", "listen_addresses=127.0.0.1,::1", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_wal_senders=4", "-c", "wal_keep_size=64MB",
		"-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(folder, "cert.pem"), "-c", "ssl_key_file="+filepath.Join(folder, "key.pem"), "-c", "wal_retrieve_retry_interval=100ms")
	t.Cleanup(func() { stopPostgres(t, folder, data) })
	eventually(t, sqlcheck.Config{Driver: "postgres", User: "admin", PasswordEnv: "DB_ADMIN", Database: "postgres", TLS: plain}, target, checks.Up)
	return target, daemon.Pid()
}

// stopPostgres ends a server so that it frees its shared memory, unless it has
// ended already.
func stopPostgres(t *testing.T, folder, data string) {
	if _, err := os.Stat(filepath.Join(folder, data, "postmaster.pid")); err == nil {
		run(t, folder, pgDir+"pg_ctl", "stop", "-w", "-m", "immediate", "-D", filepath.Join(folder, data))
	}
}

// pgAdmin runs statements as the administrator.
func pgAdmin(t *testing.T, target checks.Target, statements string) {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=admin password=admin dbname=postgres sslmode=disable", target.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), statements).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// TestPostgres checks PostgreSQL, and a standby whose replay is paused while
// the primary writes.
func TestPostgres(t *testing.T) {
	t.Setenv("DB_PASSWORD", "s3cr3t-word")
	t.Setenv("DB_ADMIN", "admin")
	t.Setenv("DB_WRONG", "wr0ng-word")
	authority := certtest.New(t)
	files := pemFiles(t, authority.Sign(t, false, "127.0.0.1", "::1"))
	files["admin"] = []byte("admin\n")
	folder := owned(t, files)
	run(t, folder, pgDir+"initdb", "-D", filepath.Join(folder, "primary"), "-U", "admin", "--pwfile="+filepath.Join(folder, "admin"), "-A", "scram-sha-256", "--no-locale", "-E", "UTF8", "-N")
	primary, _ := startPostgres(t, folder, "primary")
	pgAdmin(t, primary, "CREATE ROLE veer LOGIN PASSWORD 's3cr3t-word'; CREATE TABLE t (v text); GRANT SELECT ON t TO veer; CREATE TABLE hidden (v text)")

	base := sqlcheck.Config{Driver: "postgres", User: "veer", Database: "postgres", PasswordEnv: "DB_PASSWORD", TLS: plain}
	asked := base
	asked.Query, asked.Expect = "SELECT 1", text("1")
	t.Run("contract", func(t *testing.T) { contract(t, asked, "R\x00\x01\x00\x00", primary) })
	for _, c := range []struct {
		change func(*sqlcheck.Config)
		health checks.Health
		words  string
	}{
		{func(*sqlcheck.Config) {}, checks.Up, "took the login"},
		{func(c *sqlcheck.Config) { c.TLS = sqlcheck.TLS{CAFile: authority.File} }, checks.Up, ""},
		{func(c *sqlcheck.Config) { c.TLS = sqlcheck.TLS{} }, checks.Down, "unknown authority"},
		{func(c *sqlcheck.Config) { c.TLS = sqlcheck.TLS{Mode: "require"} }, checks.Up, ""},
		{func(c *sqlcheck.Config) { c.PasswordEnv = "DB_WRONG" }, checks.Unknown, "(SQLSTATE 28P01)"},
		{func(c *sqlcheck.Config) { c.PasswordEnv = "" }, checks.Unknown, "(SQLSTATE 28P01)"},
		{func(c *sqlcheck.Config) { c.User = "nobody-here" }, checks.Unknown, "(SQLSTATE 28P01)"},
		{func(c *sqlcheck.Config) { c.Database = "none" }, checks.Down, "(SQLSTATE 3D000)"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT v FROM hidden" }, checks.Unknown, "(SQLSTATE 42501)"},
		{func(c *sqlcheck.Config) { c.Query = "SELEC 1" }, checks.Unknown, "(SQLSTATE 42601)"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT 1; SELECT 2" }, checks.Unknown, "(SQLSTATE 42601)"},
		{func(c *sqlcheck.Config) { c.Query = "CREATE TABLE u (v text)" }, checks.Unknown, "(SQLSTATE 25006)"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT v FROM none" }, checks.Down, "(SQLSTATE 42P01)"},
		{func(c *sqlcheck.Config) { c.Query, c.Rows = "SELECT generate_series(1, 5)", 5 }, checks.Up, "gave 5 rows"},
		{func(c *sqlcheck.Config) { c.Query, c.Rows = "SELECT generate_series(1, 5)", 6 }, checks.Down, "gave 5 rows"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT generate_series(1, 100000000)" }, checks.Up, "gave 1 row"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT repeat('x', 3000000)" }, checks.Down, "failed after"},
		{func(c *sqlcheck.Config) { c.Query, c.Expect = "SELECT NULL", text("") }, checks.Down, "the first NULL"},
		{func(c *sqlcheck.Config) { c.Role, c.MaxLag, c.Query = "any", time.Second, "SELECT 1" }, checks.Up, "is a primary, 0s behind"},
		{func(c *sqlcheck.Config) { c.Role = "replica" }, checks.Down, "is a primary after"},
	} {
		config := base
		c.change(&config)
		checktest.Expect(t, checktest.Probe(t, prober(t, config), primary, time.Minute), c.health, c.words)
	}

	slow := base
	slow.Query = "SELECT pg_sleep(1000)"
	checktest.Expect(t, checktest.Probe(t, prober(t, slow), primary, 300*time.Millisecond), checks.Down, "timed out")
	none := base
	none.Query, none.Expect = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'veer' AND pid <> pg_backend_pid()", text("0")
	eventually(t, none, primary, checks.Up)

	t.Run("standby", func(t *testing.T) { standby(t, folder, base, primary) })
}

// standby makes a standby of the primary, pauses it, and takes the primary
// away.
func standby(t *testing.T, folder string, base sqlcheck.Config, primary checks.Target) {
	run(t, folder, pgDir+"pg_basebackup", "-D", filepath.Join(folder, "standby"), "-R", "-X", "stream", "-c", "fast", "--no-sync",
		"-d", fmt.Sprintf("host=127.0.0.1 port=%d user=admin password=admin", primary.Port))
	replica, pid := startPostgres(t, folder, "standby")
	seen := base
	seen.Query, seen.Rows, seen.Role = "SELECT v FROM t", 1, "replica"
	pgAdmin(t, primary, "INSERT INTO t VALUES ('first')")
	eventually(t, seen, replica, checks.Up, `the first "first"`)

	idle := base
	idle.Role, idle.MaxLag = "replica", time.Millisecond // long over since the last write
	eventually(t, idle, replica, checks.Up, "is a replica, 0s behind")
	wrong := base
	wrong.Role = "primary"
	checktest.Expect(t, checktest.Probe(t, prober(t, wrong), replica, time.Minute), checks.Down, "is a replica after")

	behind := base
	behind.MaxLag = 200 * time.Millisecond
	pgAdmin(t, replica, "SELECT pg_wal_replay_pause()")
	pgAdmin(t, primary, "INSERT INTO t VALUES ('second')")
	eventually(t, behind, replica, checks.Degraded, "is a replica, ", " behind (its WAL receiver is connected)", "expected at most 200ms behind")
	down := behind
	down.LagIs = "down"
	checktest.Expect(t, checktest.Probe(t, prober(t, down), replica, time.Minute), checks.Down, "its WAL receiver is connected")
	pgAdmin(t, replica, "SELECT pg_wal_replay_resume()")
	eventually(t, behind, replica, checks.Up, "is a replica, 0s behind")

	stopPostgres(t, folder, "primary")
	eventually(t, behind, replica, checks.Degraded, "its WAL receiver is not connected")
	checktest.Expect(t, checktest.Probe(t, prober(t, base), primary, time.Minute), checks.Down, "connection refused")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // before it is stopped
	checktest.Expect(t, checktest.Probe(t, prober(t, base), replica, 300*time.Millisecond), checks.Down, "timed out", "while logging in")
}
