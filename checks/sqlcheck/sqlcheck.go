// Package sqlcheck checks a PostgreSQL, MySQL or MariaDB server: that it takes
// a login, is what it should be, a primary or a replica, is not too far
// behind, and answers a query as expected.
//
// Each probe makes one connection and ends it; there is no pool. What a server
// may send is bounded, over the whole connection. The query is one statement
// in a read-only transaction, and the server is told to give it up when the
// probe's time is over.
//
// # What counts as what
//
// A server that cannot be reached, starts up or shuts down, has no connection
// left, is too slow, does not have the table that is asked for, or answers
// otherwise than expected is down. A server that answers, but refuses the
// login, the privilege, or the statement as malformed or as a write leaves
// the endpoint unknown: that is a fault of the monitor or of the grants. A
// password that was changed or has expired would otherwise take every endpoint
// down at once, in all regions, while all of them serve; unknown is shown, and
// moves no traffic.
//
// A password is sent in clear text, where a server asks for it so, over
// verified TLS only.
//
// # Lag
//
// PostgreSQL: a standby that has replayed all it has received, and whose WAL
// receiver is connected, is 0 behind, however long ago the primary last wrote.
// Any other is as far behind as the last transaction it has replayed is old:
// its own clock against the primary's, at the commit
// (https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL),
// so the two clocks' difference is in it. A standby that is cut off thus falls
// behind with time, although the primary may have written nothing. What the
// primary has written and not yet sent is seen only where the user has the
// role pg_monitor.
//
// MySQL and MariaDB: Seconds_Behind_Source of SHOW REPLICA STATUS, which is
// about what was received
// (https://dev.mysql.com/doc/refman/8.4/en/show-replica-status.html); of several
// sources, the worst. NULL says that replication has stopped.
//
// Replication that has stopped, or never began on a server that takes no
// writes, is beyond any limit. A primary is 0 behind.
package sqlcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// Prober is a checks.Prober, safe for concurrent use. It holds no connection
// between probes.
type Prober struct {
	c      Config
	server server
	roots  *x509.CertPool
	dialer dial.Dialer
}

// server is what differs from one kind of server to another.
type server struct {
	name string // in reasons
	port uint16
	open func(ctx context.Context, p *Prober, w *wire, l login) (session, error)
}

// login is what a session is opened with.
type login struct {
	password string
	tls      *tls.Config // nil for none
	evidence *checks.Evidence
}

// session is one connection that is logged in. Its errors are the driver's.
type session interface {
	// state asks for the role, and for the lag where that is wanted.
	state(ctx context.Context, lag bool) (state, error)
	// query runs the statement in a read-only transaction and reads as many
	// rows as are needed.
	query(ctx context.Context, statement string, rows int) (answer, error)
	close(ctx context.Context)
}

// state is what a server is.
type state struct {
	replica bool
	lag     time.Duration
	// stopped says why the lag cannot be told, where it cannot.
	stopped string
	// detail explains the lag.
	detail string
}

// answer is what a query gave.
type answer struct {
	rows  int // as many as were read
	first string
	null  bool // the first value is NULL, or there is none
}

// New makes a prober of a config that Check finds nothing wrong with. It
// reads the config's files and environment variables once, to refuse those
// that cannot be read.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("sql check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c.fill()
	p := &Prober{c: c}
	var err error
	if p.roots, err = dial.Roots(c.TLS.CAFile); err != nil {
		return nil, fmt.Errorf("sql check: tls.ca_file: %w", err)
	}
	if _, err = c.password(); err != nil {
		return nil, fmt.Errorf("sql check: %w", err)
	}
	p.server = mySQL()
	if c.Driver == driverPostgres {
		if p.server, err = postgres(); err != nil {
			return nil, fmt.Errorf("sql check: %w", err)
		}
	}
	return p, nil
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve host names by r rather than by the
// system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe connects, logs in, asks and leaves. The latency is that of the whole
// probe.
func (p *Prober) Probe(ctx context.Context, t checks.Target) (r checks.Result) {
	if t.Port == 0 {
		t.Port = p.server.port
	}
	a := attempt.Begin(p.server.name + " at " + net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))))
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	password, err := p.c.password()
	if err != nil {
		return a.End(checks.Unknown, "could not be tried: %v", err)
	}
	a.Hide(password)
	conn, err := p.dialer.Dial(ctx, "tcp", t, t.Port, &a.Evidence)
	if err != nil {
		return a.Fail(ctx, "connecting", err)
	}
	w := newWire(conn)
	defer w.Close()
	defer func() { // A server must not end the daemon by what it sends.
		if fault := recover(); fault != nil {
			r = a.End(checks.Down, "sent what cannot be read after %s", a.Elapsed())
		}
	}()
	r = p.converse(ctx, a, w, login{password, p.tlsConfig(t.Host), &a.Evidence})
	r.Evidence.FirstByte = w.firstByte()
	return r
}

// tlsConfig is nil where TLS is off.
func (p *Prober) tlsConfig(host string) *tls.Config {
	if p.c.TLS.Mode == tlsOff {
		return nil
	}
	if p.c.TLS.ServerName != "" {
		host = p.c.TLS.ServerName
	}
	return &tls.Config{ServerName: host, RootCAs: p.roots, MinVersion: tls.VersionTLS12, InsecureSkipVerify: p.c.TLS.Mode == tlsRequire}
}

// converse does what the config says over one connection.
func (p *Prober) converse(ctx context.Context, a *attempt.Attempt, w *wire, l login) checks.Result {
	s, err := p.server.open(ctx, p, w, l)
	if err != nil {
		return fail(ctx, a, w, "logging in", err)
	}
	defer s.close(ctx)
	done := "took the login"
	behind := ""
	if p.c.Role != roleAny || p.c.MaxLag > 0 {
		st, err := s.state(ctx, p.c.MaxLag > 0)
		if err != nil {
			return fail(ctx, a, w, "asking for the role and the lag", err)
		}
		done, behind = p.weigh(a, st)
		if role := st.role(); p.c.Role != roleAny && p.c.Role != role {
			return a.End(checks.Down, "is a %s after %s, expected a %s", role, a.Elapsed(), p.c.Role)
		}
		if behind != "" && p.c.LagIs == lagDown {
			return a.End(checks.Down, "%s after %s, expected %s", behind, a.Elapsed(), p.lagLimit())
		}
	}
	if p.c.Query != "" {
		got, err := s.query(ctx, p.c.Query, max(p.c.Rows, 1))
		if err != nil {
			return fail(ctx, a, w, "running the query", err)
		}
		a.Evidence.Detail = got.describe(a)
		done += " and gave " + a.Evidence.Detail
		if wrong := p.wrong(got); wrong != "" {
			return a.End(checks.Down, "gave %s after %s, expected %s", a.Evidence.Detail, a.Elapsed(), wrong)
		}
	}
	if behind != "" {
		return a.End(checks.Degraded, "%s after %s, expected %s", behind, a.Elapsed(), p.lagLimit())
	}
	return a.End(checks.Up, "%s after %s", done, a.Elapsed())
}

func (s state) role() string {
	if s.replica {
		return roleReplica
	}
	return rolePrimary
}

// weigh says what a server is, and, where it is beyond the limit, how far it
// is behind.
func (p *Prober) weigh(a *attempt.Attempt, s state) (is, behind string) {
	is = "is a " + s.role()
	switch {
	case p.c.MaxLag == 0:
		return is, ""
	case s.stopped != "":
		behind = is + " whose lag cannot be told, since " + s.stopped
	case s.lag > p.c.MaxLag:
		behind = is + ", " + attempt.Duration(s.lag) + " behind (" + s.detail + ")"
	}
	is += ", " + attempt.Duration(s.lag) + " behind"
	a.Evidence.Detail = is
	return is, behind
}

func (p *Prober) lagLimit() string { return "at most " + p.c.MaxLag.String() + " behind" }

// wrong says what was expected of a query's answer, or "" where it is so.
func (p *Prober) wrong(got answer) string {
	switch {
	case p.c.Rows > 0 && got.rows < p.c.Rows:
		return fmt.Sprintf("at least %d", p.c.Rows)
	case p.c.Expect != nil && (got.null || got.first != *p.c.Expect):
		return strconv.Quote(attempt.Clip(*p.c.Expect, 64))
	}
	return ""
}

func (g answer) describe(a *attempt.Attempt) string {
	switch {
	case g.rows == 0:
		return "no row"
	case g.null:
		return rows(g.rows) + ", the first NULL"
	}
	return rows(g.rows) + ", the first " + a.Quote([]byte(g.first), 64)
}

func rows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return strconv.Itoa(n) + " rows"
}
