package sqlcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// kind is what an error that a server reports means.
type kind uint8

const (
	broken   kind = iota // the endpoint's fault
	refused              // the monitor's, or that of the grants
	outlived             // the statement took too long
)

// refusedStates are SQLSTATEs of PostgreSQL, with class 28 for the login
// (https://www.postgresql.org/docs/current/errcodes-appendix.html):
// insufficient privilege, syntax error, a write in a read-only transaction.
var refusedStates = []string{"42501", "42601", "25006"}

// refusedNumbers are errors of MySQL
// (https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html)
// and MariaDB (https://mariadb.com/docs/server/reference/error-codes): host
// blocked or not allowed, database, login, table, column and other privileges
// denied, unknown way of logging in, expired or locked, a limit of the user
// reached, syntax error, a write in a read-only transaction.
var refusedNumbers = []uint16{
	1129, 1130, 1044, 1045, 1698, 1142, 1143, 1227, 1370, 1251, 1275, 1524, 1820, 1862, 3118, 4151, 1203, 1226, 1064, 1792, 1290,
}

// reported is what a server itself said of an error.
func reported(err error) (text string, k kind, ok bool) {
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	switch {
	case errors.As(err, &pg):
		text = pg.Message + " (SQLSTATE " + pg.Code + ")"
		switch {
		case pg.Code == "57014":
			k = outlived
		case strings.HasPrefix(pg.Code, "28") || slices.Contains(refusedStates, pg.Code):
			k = refused
		}
		return text, k, true
	case errors.As(err, &my):
		text = my.Message + " (error " + strconv.Itoa(int(my.Number)) + ")"
		switch {
		case my.Number == 3024 || my.Number == 1969:
			k = outlived
		case slices.Contains(refusedNumbers, my.Number):
			k = refused
		}
		return text, k, true
	}
	return "", broken, false
}

// errClearText is a login that would send the password in clear text over a
// connection that anybody may read.
var errClearText = errors.New("it asks for the password in clear text, which is sent over TLS with tls.mode: verify only")

// unable reports whether the login cannot be made in the way that the server
// asks for.
func unable(err error) error {
	if errors.Is(err, mysql.ErrCleartextPassword) || err != nil && strings.Contains(err.Error(), "server requested password authentication") {
		return errClearText
	}
	for _, plugin := range []error{mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin} {
		if errors.Is(err, plugin) {
			return errors.New("it asks for a way to log in that is not supported")
		}
	}
	return nil
}

// fail makes the result of an error met while doing something. Of the
// driver's own words only the innermost are kept: the outer ones tell the
// user, the database and the address.
func fail(ctx context.Context, a *attempt.Attempt, w *wire, doing string, err error) checks.Result {
	text, k, ok := reported(err)
	way := unable(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return a.Fail(ctx, doing, ctx.Err())
	case way != nil:
		return a.End(checks.Unknown, "answers, but refuses us after %s while %s: %v; this says nothing of its health", a.Elapsed(), doing, way)
	case ok && k == refused:
		return a.End(checks.Unknown, "answers, but refuses us after %s while %s: %s; a matter of the monitor or the grants, not of its health", a.Elapsed(), doing, a.Show(text, 300))
	case ok && k == outlived:
		return a.End(checks.Down, "timed out after %s while %s: %s", a.Elapsed(), doing, a.Show(text, 300))
	case ok:
		return a.End(checks.Down, "failed after %s while %s: %s", a.Elapsed(), doing, a.Show(text, 300))
	}
	var certificate *tls.CertificateVerificationError
	var dialled *dial.Error
	switch {
	case errors.As(err, &dialled):
	case errors.As(err, &certificate):
		err = &dial.Error{Phase: dial.Securing, Err: err}
	case w.failure() != nil:
		err = w.failure()
	default:
		err = innermost(err)
	}
	return a.Fail(ctx, doing, err)
}

// innermost unwraps an error as far as it goes, of several the first.
func innermost(err error) error {
	for {
		var inner error
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			inner = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				inner = all[0]
			}
		}
		if inner == nil {
			return err
		}
		err = inner
	}
}
