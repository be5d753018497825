package sqlcheck_test

import (
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/sqlcheck"
)

// TestState requires the role and the lag to be judged.
func TestState(t *testing.T) {
	pg := func(recovery, lag, connected string) map[string]said {
		return map[string]said{"SELECT pg_is": value(recovery), "\nSELECT pg_is": {columns: []string{"a", "b", "c"}, rows: [][]string{{recovery, lag, connected}}}, "Q": value("1")}
	}
	my := func(readOnly string, statuses ...[]string) map[string]said {
		return map[string]said{
			"SELECT @@version":    {columns: []string{"version", "read_only"}, rows: [][]string{{"8.0.21", readOnly}}},
			"SHOW REPLICA STATUS": {number: 1064, message: "syntax"},
			"SHOW SLAVE STATUS":   {columns: []string{"Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master"}, rows: statuses},
			"Q":                   value("1"),
		}
	}
	for _, c := range []struct {
		name   string
		driver string
		says   map[string]said
		config sqlcheck.Config
		health checks.Health
		words  string
	}{
		{"a primary", "postgres", pg("f", "0", "f"), sqlcheck.Config{Role: "primary"}, checks.Up, "is a primary after"},
		{"no primary", "postgres", pg("t", "0", "t"), sqlcheck.Config{Role: "primary"}, checks.Down, "is a replica after"},
		{"no replica", "postgres", pg("f", "0", "t"), sqlcheck.Config{Role: "replica", MaxLag: time.Second}, checks.Down, "expected a replica"},
		{"caught up", "postgres", pg("t", "0", "t"), sqlcheck.Config{MaxLag: time.Second}, checks.Up, "is a replica, 0s behind after"},
		{"behind", "postgres", pg("t", "3.5", "t"), sqlcheck.Config{MaxLag: time.Second}, checks.Degraded, "is a replica, 3.5s behind (its WAL receiver is connected) after"},
		{"behind", "postgres", pg("t", "3.5", "f"), sqlcheck.Config{MaxLag: time.Second, LagIs: "down"}, checks.Down, "(its WAL receiver is not connected)"},
		{"a clock ahead", "postgres", pg("t", "-3.5", "t"), sqlcheck.Config{MaxLag: time.Second}, checks.Up, "0s behind"},
		{"nothing replayed", "postgres", pg("t", null, "f"), sqlcheck.Config{MaxLag: time.Second}, checks.Degraded, "since it has replayed no transaction since it started and its WAL receiver is not connected"},
		{"behind and wrong", "postgres", pg("t", "3.5", "t"), sqlcheck.Config{MaxLag: time.Second, Query: "Q", Expect: text("2")}, checks.Down, `expected "2"`},
		{"behind and right", "postgres", pg("t", "3.5", "t"), sqlcheck.Config{MaxLag: time.Second, Query: "Q", Expect: text("1")}, checks.Degraded, "expected at most 1s behind"},
		{"no such server", "postgres", pg("t", "soon", "t"), sqlcheck.Config{MaxLag: time.Second}, checks.Down, "does not tell its role and lag"},
		{"no such server", "postgres", pg("t", "1e300", "t"), sqlcheck.Config{MaxLag: time.Second}, checks.Down, "does not tell its role and lag"},
		{"a primary", "mysql", my("0"), sqlcheck.Config{Role: "primary"}, checks.Up, "is a primary after"},
		{"a primary is not behind", "mysql", my("OFF"), sqlcheck.Config{MaxLag: time.Second}, checks.Up, "is a primary, 0s behind"},
		{"no primary", "mysql", my("1"), sqlcheck.Config{Role: "primary"}, checks.Down, "is a replica after"},
		{"no replica", "mysql", my("0"), sqlcheck.Config{Role: "replica"}, checks.Down, "is a primary after"},
		{"caught up", "mysql", my("1", []string{"Yes", "Yes", "0"}), sqlcheck.Config{Role: "replica", MaxLag: time.Second, Query: "Q"}, checks.Up, "is a replica, 0s behind and gave 1 row"},
		{"behind", "mysql", my("ON", []string{"Yes", "Yes", "7"}, []string{"Yes", "Yes", "2"}), sqlcheck.Config{MaxLag: time.Second}, checks.Degraded, "is a replica, 7s behind (receiving: Yes, applying: Yes)"},
		{"at the limit", "mysql", my("1", []string{"Yes", "Yes", "7"}), sqlcheck.Config{MaxLag: 7 * time.Second}, checks.Up, "7s behind"},
		{"stopped", "mysql", my("1", []string{"Yes", "Yes", "0"}, []string{"Connecting", "No", null}), sqlcheck.Config{MaxLag: time.Second, LagIs: "down"}, checks.Down, "since replication has stopped (receiving: Connecting, applying: No)"},
		{"from nobody", "mysql", my("1"), sqlcheck.Config{MaxLag: time.Second}, checks.Degraded, "since it replicates from nobody"},
		{"no such server", "mysql", my("1", []string{"Yes", "Yes", "-1"}), sqlcheck.Config{MaxLag: time.Second}, checks.Down, "does not tell its role and lag"},
	} {
		t.Run(c.driver+"/"+c.name, func(t *testing.T) {
			c.config.Driver, c.config.TLS = c.driver, plain
			target := serve(t, "127.0.0.1", speakers[c.driver](fake{says: c.says}))
			checktest.Expect(t, checktest.Probe(t, prober(t, c.config), target, time.Minute), c.health, c.words)
		})
	}
}
