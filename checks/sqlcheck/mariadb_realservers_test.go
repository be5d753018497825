//go:build realservers

package sqlcheck_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/certtest"
	"github.com/veerdns/veer/checks/sqlcheck"
)

// startMariaDB starts a server of a data folder.
func startMariaDB(t *testing.T, folder, data string, id int, options ...string) (target checks.Target, pid int) {
	target = checktest.Refused(t, "tcp", "127.0.0.1")
	daemon := start(t, target, append([]string{"mariadbd", "--no-defaults", "--datadir=" + filepath.Join(folder, data), "--socket=" + filepath.Join(folder, data+".sock"),
		"--pid-file=" + filepath.Join(folder, data+".pid"), fmt.Sprintf("--port=%d", target.Port), "--bind-address=127.0.0.1,::1", "--skip-networking=0", "--skip-name-resolve",
		fmt.Sprintf("--server-id=%d", id), "--log-bin=" + filepath.Join(folder, data+"-bin"), "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0",
		"--ssl-cert=" + filepath.Join(folder, "cert.pem"), "--ssl-key=" + filepath.Join(folder, "key.pem")}, options...)...)
	return target, daemon.Pid()
}

// myAdmin runs statements, one a line, as the administrator: over TCP, since that
// is what the start of the server waited for.
func myAdmin(t *testing.T, server checks.Target, statements string) {
	t.Helper()
	db, err := sql.Open("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/mysql", server.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for statement := range strings.SplitSeq(statements, "\n") {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// TestMariaDB checks MariaDB, and a replica that is delayed, and stopped.
func TestMariaDB(t *testing.T) {
	t.Setenv("DB_PASSWORD", "s3cr3t-word")
	t.Setenv("DB_WRONG", "wr0ng-word")
	authority := certtest.New(t)
	folder := owned(t, pemFiles(t, authority.Sign(t, false, "127.0.0.1", "::1")))
	run(t, folder, "mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(folder, "primary"), "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	run(t, folder, "cp", "-a", filepath.Join(folder, "primary"), filepath.Join(folder, "replica"))
	primary, pid := startMariaDB(t, folder, "primary", 1)
	myAdmin(t, primary, `CREATE DATABASE app
CREATE TABLE app.t (v VARCHAR(20))
CREATE DATABASE other
CREATE TABLE other.hidden (v VARCHAR(20))
INSERT INTO app.t VALUES ('first')
CREATE USER veer IDENTIFIED BY 's3cr3t-word'
GRANT SELECT ON app.* TO veer
GRANT REPLICA MONITOR ON *.* TO veer
CREATE USER blind IDENTIFIED BY 's3cr3t-word'
CREATE USER copier IDENTIFIED BY 'copier'
GRANT REPLICATION SLAVE ON *.* TO copier`)

	base := sqlcheck.Config{Driver: "mysql", User: "veer", Database: "app", PasswordEnv: "DB_PASSWORD", TLS: plain}
	asked := base
	asked.Query, asked.Expect = "SELECT 1", text("1")
	t.Run("contract", func(t *testing.T) { contract(t, asked, "\xff\xff\x00\x00", primary) })
	for _, c := range []struct {
		change func(*sqlcheck.Config)
		health checks.Health
		words  string
	}{
		{func(*sqlcheck.Config) {}, checks.Up, "took the login"},
		{func(c *sqlcheck.Config) { c.TLS = sqlcheck.TLS{CAFile: authority.File} }, checks.Up, ""},
		{func(c *sqlcheck.Config) { c.TLS = sqlcheck.TLS{} }, checks.Down, "unknown authority"},
		{func(c *sqlcheck.Config) { c.TLS = sqlcheck.TLS{Mode: "require"} }, checks.Up, ""},
		{func(c *sqlcheck.Config) { c.PasswordEnv = "DB_WRONG" }, checks.Unknown, "(error 1045)"},
		{func(c *sqlcheck.Config) { c.User = "nobody-here" }, checks.Unknown, "(error 1045)"},
		{func(c *sqlcheck.Config) { c.Database = "none" }, checks.Unknown, "(error 1044)"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT v FROM other.hidden" }, checks.Unknown, "(error 1142)"},
		{func(c *sqlcheck.Config) { c.Query = "SELEC 1" }, checks.Unknown, "(error 1064)"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT 1; SELECT 2" }, checks.Unknown, "(error 1064)"},
		{func(c *sqlcheck.Config) { c.Query, c.Expect = "SELECT v FROM t", text("first") }, checks.Up, ""},
		{func(c *sqlcheck.Config) { c.Query, c.Rows = "SELECT seq FROM seq_1_to_5", 5 }, checks.Up, "gave 5 rows"},
		{func(c *sqlcheck.Config) { c.Query, c.Rows = "SELECT seq FROM seq_1_to_5", 6 }, checks.Down, "gave 5 rows"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT seq FROM seq_1_to_10000000" }, checks.Up, "gave 1 row"},
		{func(c *sqlcheck.Config) { c.Query = "SELECT repeat('x', 3000000)" }, checks.Down, "sent more than 1 MiB"},
		{func(c *sqlcheck.Config) { c.Query, c.Expect = "SELECT NULL", text("") }, checks.Down, "the first NULL"},
		{func(c *sqlcheck.Config) { c.Query, c.Expect = "SELECT 0.5, 1", text("0.5") }, checks.Up, ""},
		{func(c *sqlcheck.Config) { c.Role, c.MaxLag, c.Query = "any", time.Second, "SELECT 1" }, checks.Up, "is a primary, 0s behind"},
		{func(c *sqlcheck.Config) { c.User, c.Database, c.MaxLag = "blind", "", time.Second }, checks.Unknown, "(error 1227)"},
		{func(c *sqlcheck.Config) { c.Role = "replica" }, checks.Down, "is a primary after"},
	} {
		config := base
		c.change(&config)
		checktest.Expect(t, checktest.Probe(t, prober(t, config), primary, time.Minute), c.health, c.words)
	}
	root := sqlcheck.Config{Driver: "mysql", User: "root", Database: "app", TLS: plain, Query: "INSERT INTO t VALUES ('never')"}
	checktest.Expect(t, checktest.Probe(t, prober(t, root), primary, time.Minute), checks.Unknown, "(error 1792)")

	slow := base
	slow.Query = "SELECT sleep(1000)"
	checktest.Expect(t, checktest.Probe(t, prober(t, slow), primary, 300*time.Millisecond), checks.Down, "timed out")
	none := root
	none.Query, none.Expect = "SELECT count(*) FROM information_schema.processlist WHERE user = 'veer'", text("0")
	eventually(t, none, primary, checks.Up)

	t.Run("replica", func(t *testing.T) { replica(t, folder, base, primary) })
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	checktest.Expect(t, checktest.Probe(t, prober(t, base), primary, 300*time.Millisecond), checks.Down, "timed out", "while logging in")
}

// replica makes a replica of the primary, delays it, and stops it.
func replica(t *testing.T, folder string, base sqlcheck.Config, primary checks.Target) {
	target, _ := startMariaDB(t, folder, "replica", 2, "--read-only=1")
	behind := base
	behind.MaxLag, behind.Role = 500*time.Millisecond, "replica"
	root := behind
	root.User, root.PasswordEnv, root.Database = "root", "", ""
	checktest.Expect(t, checktest.Probe(t, prober(t, root), target, time.Minute), checks.Degraded, "since it replicates from nobody")

	myAdmin(t, target, fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='copier', MASTER_PASSWORD='copier', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1\nSTART SLAVE", primary.Port))
	eventually(t, behind, target, checks.Up, "is a replica, 0s behind")
	seen := behind
	seen.Query, seen.Expect = "SELECT v FROM t", text("first")
	eventually(t, seen, target, checks.Up)

	myAdmin(t, target, "STOP SLAVE\nCHANGE MASTER TO MASTER_DELAY=1000\nSTART SLAVE")
	myAdmin(t, primary, "INSERT INTO app.t VALUES ('second')")
	eventually(t, behind, target, checks.Degraded, "s behind (receiving: Yes, applying: Yes)", "expected at most 500ms behind")
	myAdmin(t, target, "STOP SLAVE SQL_THREAD")
	stopped := behind
	stopped.LagIs = "down"
	checktest.Expect(t, checktest.Probe(t, prober(t, stopped), target, time.Minute), checks.Down, "since replication has stopped (receiving: Yes, applying: No)")
}
