package sqlcheck

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/veerdns/veer/checks/internal/dial"
)

// maxMessage bounds one message of a server, for which memory is taken at
// once, in bytes.
const maxMessage = 256 << 10

// postgres reads what pgconn takes from the environment of a libpq client,
// once, and keeps none of it: only pgconn itself can make its config.
func postgres() (server, error) {
	base, err := pgconn.ParseConfig("host=unused port=1 user=unused password=unused database=unused sslmode=disable target_session_attrs=any")
	if err != nil {
		return server{}, errors.New("the environment holds settings of libpq (PGSERVICE or another PG variable) that cannot be read; expected none of them")
	}
	return server{name: "PostgreSQL", port: 5432, open: func(ctx context.Context, p *Prober, w *wire, l login) (session, error) {
		return openPostgres(ctx, p.c, base.Copy(), w, l)
	}}, nil
}

// pgSession is a session of PostgreSQL, or of what speaks its protocol. The
// probe's context ends the connection below it, so that pgconn gets one that
// does not end: it would start a second connection to cancel the query.
type pgSession struct {
	conn  *pgconn.PgConn
	wire  *wire
	began bool
}

func openPostgres(ctx context.Context, c Config, pc *pgconn.Config, w *wire, l login) (session, error) {
	var secured net.Conn = w
	if l.tls != nil {
		if err := askTLS(w); err != nil {
			return nil, err
		}
		conn, err := dial.TLS(ctx, w, l.tls, l.evidence)
		if err != nil {
			return nil, err
		}
		secured = conn
	}
	var used atomic.Bool
	pc.Host, pc.Port, pc.Database, pc.User, pc.Password = "endpoint", 1, c.Database, c.User, l.password
	pc.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil }
	pc.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if used.Swap(true) {
			return nil, errors.New("a probe makes one connection")
		}
		return secured, nil
	}
	pc.TLSConfig, pc.Fallbacks, pc.ConnectTimeout = nil, nil, 0
	pc.RuntimeParams = map[string]string{"application_name": "veer"}
	pc.MaxProtocolMessageBodyLen = maxMessage
	pc.SSLNegotiation, pc.SSLCertMode, pc.ChannelBinding = "", "allow", "prefer"
	pc.MinProtocolVersion, pc.MaxProtocolVersion = "3.0", "3.0"
	pc.KerberosSrvName, pc.KerberosSpn = "", ""
	pc.ValidateConnect, pc.AfterConnect, pc.AfterNetConnect = nil, nil, nil
	pc.RequireAuth = ""
	if c.TLS.Mode != tlsVerify {
		pc.RequireAuth = "!password" // no clear text
	}
	conn, err := pgconn.ConnectConfig(context.WithoutCancel(ctx), pc)
	if err != nil {
		return nil, err
	}
	return &pgSession{conn: conn, wire: w}, nil
}

// askTLS asks for TLS before the login
// (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL).
// It reads the one byte of the answer and no more: what came with it in clear
// text would be taken for a part of the handshake, and fail.
func askTLS(w *wire) error {
	if _, err := w.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return err
	}
	var said [1]byte
	if _, err := io.ReadFull(w, said[:]); err != nil {
		return err
	}
	if said[0] != 'S' {
		return errNoTLS
	}
	return nil
}

// errNoTLS is a server without TLS where the config asks for it.
var errNoTLS = errors.New("the endpoint offers no TLS, which tls.mode asks for unless it is off")

// begin starts the read-only transaction, in which the server ends a statement
// when the probe's time is over. The settings are of the transaction, so that
// they also work through a pooler of transactions.
func (s *pgSession) begin(ctx context.Context) error {
	if s.began {
		return nil
	}
	s.began = true
	text := "BEGIN READ ONLY"
	if deadline, ok := ctx.Deadline(); ok {
		text += "; SET LOCAL statement_timeout = " + strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10)
	}
	_, err := s.conn.Exec(context.WithoutCancel(ctx), text).ReadAll()
	return err
}

// pgState gives the role, the lag in seconds, 0 where all that was received is
// replayed and more may come, NULL where nothing was replayed yet, and
// whether the WAL receiver is connected. The column latest_end_lsn, how far
// the primary was at its last message, is NULL for a user without the role
// pg_monitor (https://www.postgresql.org/docs/current/monitoring-stats.html).
const pgState = `
SELECT pg_is_in_recovery(),
  CASE WHEN NOT pg_is_in_recovery() THEN 0
    WHEN EXISTS (SELECT 1 FROM pg_stat_wal_receiver) AND pg_last_wal_replay_lsn() >=
      GREATEST(pg_last_wal_receive_lsn(), (SELECT latest_end_lsn FROM pg_stat_wal_receiver)) THEN 0
    ELSE EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
  EXISTS (SELECT 1 FROM pg_stat_wal_receiver)`

func (s *pgSession) state(ctx context.Context, lag bool) (state, error) {
	if err := s.begin(ctx); err != nil {
		return state{}, err
	}
	text := "SELECT pg_is_in_recovery()"
	if lag {
		text = pgState
	}
	results, err := s.conn.Exec(context.WithoutCancel(ctx), text).ReadAll()
	if err != nil {
		return state{}, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return state{}, errNotState
	}
	row := results[0].Rows[0]
	if !lag && len(row) == 1 {
		return state{replica: string(row[0]) == "t"}, nil
	}
	return parsePgState(row)
}

// errNotState is an answer to a question for the state that is none.
var errNotState = errors.New("the endpoint does not tell its role and lag as this kind of server does")

func parsePgState(row [][]byte) (state, error) {
	if len(row) != 3 {
		return state{}, errNotState
	}
	st := state{replica: string(row[0]) == "t", detail: "its WAL receiver is connected"}
	connected := string(row[2]) == "t"
	if !connected {
		st.detail = "its WAL receiver is not connected"
	}
	if row[1] == nil {
		st.stopped = "it has replayed no transaction since it started and " + st.detail
		return st, nil
	}
	seconds, err := strconv.ParseFloat(string(row[1]), 64)
	if err != nil || seconds != seconds || seconds > float64(1<<31) {
		return state{}, errNotState
	}
	st.lag = max(time.Duration(seconds*float64(time.Second)), 0) // The clocks may differ.
	return st, nil
}

// query uses the extended protocol, in which there is one statement only.
func (s *pgSession) query(ctx context.Context, statement string, rows int) (answer, error) {
	if err := s.begin(ctx); err != nil {
		return answer{}, err
	}
	var got answer
	result := s.conn.ExecParams(context.WithoutCancel(ctx), statement, nil, nil, nil, nil)
	for result.NextRow() {
		if got.rows++; got.rows == 1 {
			values := result.Values()
			got.null = len(values) == 0 || values[0] == nil
			if !got.null {
				got.first = string(values[0])
			}
		}
		if got.rows == rows+spareRows {
			got.rows = rows
			return got, nil
		}
	}
	if _, err := result.Close(); err != nil {
		return answer{}, err
	}
	got.null = got.null || got.rows == 0
	got.rows = min(got.rows, rows)
	return got, nil
}

// close says goodbye where the connection still stands, and waits until
// nothing of it is left.
func (s *pgSession) close(ctx context.Context) {
	if !s.conn.IsClosed() {
		_ = s.conn.Close(context.WithoutCancel(ctx)) // What counts was read.
	}
	_ = s.wire.Close() // It may be closed already.
	<-s.conn.CleanupDone()
}
