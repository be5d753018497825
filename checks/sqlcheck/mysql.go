package sqlcheck

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

func mySQL() server {
	return server{name: "MySQL", port: 3306, open: openMySQL}
}

// mySession is a session of MySQL or MariaDB. The probe's context ends the
// connection below it.
type mySession struct {
	conn driver.Conn
	// Of the first question, once it was asked:
	asked    bool
	version  string
	readOnly bool
}

func openMySQL(ctx context.Context, p *Prober, w *wire, l login) (session, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = p.c.User, l.password, p.c.Database
	c.Net, c.Addr = "tcp", w.RemoteAddr().String()
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) { return w, nil }
	if c.TLS = l.tls; l.tls != nil { // What we send first asks for TLS.
		l.tls.VerifyConnection = func(tls.ConnectionState) error {
			l.evidence.TLS = w.sinceWrite()
			return nil
		}
	}
	c.Logger = &mysql.NopLogger{}
	c.CheckConnLiveness = false
	c.AllowCleartextPasswords = p.c.TLS.Mode == tlsVerify
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(context.WithoutCancel(ctx))
	if errors.Is(err, mysql.ErrNoTLS) {
		return nil, errNoTLS
	}
	if err != nil {
		return nil, err
	}
	return &mySession{conn: conn}, nil
}

// ask runs a statement and reads at most limit rows. What is left dies with
// the connection, so no other statement can follow where the limit was met.
func (s *mySession) ask(ctx context.Context, text string, limit int) (columns []string, rows [][]driver.Value, err error) {
	asks, ok := s.conn.(driver.QueryerContext)
	if !ok {
		return nil, nil, errors.New("the driver runs no queries")
	}
	result, err := asks.QueryContext(context.WithoutCancel(ctx), text, nil)
	if err != nil {
		return nil, nil, err
	}
	columns = result.Columns()
	for len(rows) < limit {
		row := make([]driver.Value, len(columns))
		if err := result.Next(row); err != nil {
			if errors.Is(err, io.EOF) {
				return columns, rows, nil
			}
			return nil, nil, err
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				row[i] = slices.Clone(b) // The driver reads the next row over it.
			}
		}
		rows = append(rows, row)
	}
	return columns, rows, nil
}

// do runs a statement that gives no rows.
func (s *mySession) do(ctx context.Context, text string) error {
	runs, ok := s.conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the driver runs no statements")
	}
	_, err := runs.ExecContext(context.WithoutCancel(ctx), text, nil)
	return err
}

// begin asks what the server is, and has it end statements when the probe's
// time is over: MySQL's max_execution_time is in milliseconds and for SELECT
// only (https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html),
// MariaDB's max_statement_time in seconds
// (https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables).
func (s *mySession) begin(ctx context.Context) error {
	if s.asked {
		return nil
	}
	s.asked = true
	_, rows, err := s.ask(ctx, "SELECT @@version, @@read_only", 2)
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return errNotState
	}
	s.version = text(rows[0][0])
	off := text(rows[0][1])
	s.readOnly = off != "0" && !strings.EqualFold(off, "OFF")
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	left := max(time.Until(deadline), time.Millisecond)
	set := fmt.Sprintf("SET SESSION max_execution_time = %d", left.Milliseconds())
	if s.mariaDB() {
		set = fmt.Sprintf("SET SESSION max_statement_time = %.3f", left.Seconds())
	}
	var my *mysql.MySQLError
	if err := s.do(ctx, set); err != nil && !(errors.As(err, &my) && my.Number == 1193) {
		return err // 1193: an old server without the variable
	}
	return nil
}

func (s *mySession) mariaDB() bool { return strings.Contains(strings.ToLower(s.version), "mariadb") }

func (s *mySession) state(ctx context.Context, lag bool) (state, error) {
	if err := s.begin(ctx); err != nil {
		return state{}, err
	}
	if !lag {
		return state{replica: s.readOnly}, nil
	}
	statements := []string{"SHOW REPLICA STATUS", "SHOW SLAVE STATUS"} // before 8.0.22 the latter only
	if s.mariaDB() {
		statements = []string{"SHOW ALL SLAVES STATUS"} // of named connections too
	}
	var columns []string
	var rows [][]driver.Value
	var err error
	for _, statement := range statements {
		columns, rows, err = s.ask(ctx, statement, maxRows)
		var my *mysql.MySQLError
		if !errors.As(err, &my) || my.Number != 1064 {
			break
		}
	}
	if err != nil {
		return state{}, err
	}
	return parseMyState(s.readOnly, columns, rows)
}

// parseMyState reads one row for each source that is replicated from.
func parseMyState(readOnly bool, columns []string, rows [][]driver.Value) (state, error) {
	st := state{replica: readOnly}
	if len(rows) == 0 {
		if readOnly {
			st.stopped = "it replicates from nobody"
		}
		return st, nil
	}
	find := func(names ...string) int {
		return slices.IndexFunc(columns, func(c string) bool { return slices.Contains(names, c) })
	}
	behind := find("Seconds_Behind_Source", "Seconds_Behind_Master")
	receives, applies := find("Replica_IO_Running", "Slave_IO_Running"), find("Replica_SQL_Running", "Slave_SQL_Running")
	if behind < 0 || receives < 0 || applies < 0 {
		return state{}, errNotState
	}
	for _, row := range rows {
		running := "receiving: " + clipped(text(row[receives])) + ", applying: " + clipped(text(row[applies]))
		if row[behind] == nil {
			st.stopped = "replication has stopped (" + running + ")"
			continue
		}
		seconds, err := strconv.ParseUint(text(row[behind]), 10, 31)
		if err != nil {
			return state{}, errNotState
		}
		if lag := time.Duration(seconds) * time.Second; lag >= st.lag {
			st.lag, st.detail = lag, running
		}
	}
	return st, nil
}

func (s *mySession) query(ctx context.Context, statement string, rows int) (answer, error) {
	if err := s.begin(ctx); err != nil {
		return answer{}, err
	}
	if err := s.do(ctx, "START TRANSACTION READ ONLY"); err != nil {
		return answer{}, err
	}
	_, got, err := s.ask(ctx, statement, rows+spareRows)
	if err != nil {
		return answer{}, err
	}
	a := answer{rows: min(len(got), rows), null: true}
	if len(got) > 0 && len(got[0]) > 0 && got[0][0] != nil {
		a.first, a.null = text(got[0][0]), false
	}
	return a, nil
}

// close says goodbye; the driver's connection is closed with it.
func (s *mySession) close(context.Context) { _ = s.conn.Close() }

// text writes a value as the server did.
func text(v driver.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	}
	return fmt.Sprint(v)
}

func clipped(text string) string { return text[:min(len(text), 32)] }
