package sqlcheck_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/certtest"
	"github.com/veerdns/veer/checks/sqlcheck"
)

func prober(t *testing.T, c sqlcheck.Config) *sqlcheck.Prober {
	t.Helper()
	if c.User == "" {
		c.User = "veer"
	}
	p, err := sqlcheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func text(s string) *string { return &s }

var plain = sqlcheck.TLS{Mode: "off"}

// value is one row of one column.
func value(v string) said { return said{columns: []string{"v"}, rows: [][]string{{v}}} }

// speakers are the fakes of both protocols.
var speakers = map[string]func(fake) func(net.Conn){
	"postgres": func(f fake) func(net.Conn) { return f.postgres },
	"mysql": func(f fake) func(net.Conn) {
		says := map[string]said{
			"SELECT @@version": {columns: []string{"version", "read_only"}, rows: [][]string{{"8.0.36", "0"}}},
			"SET SESSION":      {}, "START TRANSACTION": {},
		}
		for statement, s := range f.says {
			says[statement] = s
		}
		f.says = says
		return f.mysql
	},
}

func TestContract(t *testing.T) {
	drips := map[string]string{"postgres": "R\x00\x01\x00\x00", "mysql": "\xff\xff\x00\x00"}
	for driver, speak := range speakers {
		t.Run(driver, func(t *testing.T) {
			checktest.Run(t, checktest.Kit{
				Network: "tcp", Drip: drips[driver],
				New: func(t *testing.T) checks.Prober {
					return prober(t, sqlcheck.Config{Driver: driver, TLS: plain, Query: "SELECT 1", Expect: text("1")})
				},
				Serve: func(t *testing.T, host string) checks.Target {
					return serve(t, host, speak(fake{says: map[string]said{"": value("1")}}))
				},
			})
		})
	}
}

func TestQuery(t *testing.T) {
	many := said{columns: []string{"v"}}
	for range 50 {
		many.rows = append(many.rows, []string{"x"})
	}
	long := said{columns: []string{"v"}}
	for range 20_000 {
		long.rows = append(long.rows, []string{strings.Repeat("y", 100)})
	}
	cell := strings.Repeat("z", 250)
	wide := said{columns: []string{"a", "b", "c", "d", "e"}, rows: slices.Repeat([][]string{{cell, cell, cell, cell, cell}}, 999)}
	for _, c := range []struct {
		name   string
		config sqlcheck.Config
		says   said
		health checks.Health
		words  string
	}{
		{"no query", sqlcheck.Config{}, said{}, checks.Up, "took the login after"},
		{"any answer", sqlcheck.Config{Query: "Q"}, value("7"), checks.Up, `took the login and gave 1 row, the first "7" after`},
		{"no row will do", sqlcheck.Config{Query: "Q"}, said{columns: []string{"v"}}, checks.Up, "and gave no row"},
		{"as expected", sqlcheck.Config{Query: "Q", Expect: text("7")}, value("7"), checks.Up, ""},
		{"another value", sqlcheck.Config{Query: "Q", Expect: text("7")}, value("8\x1b"), checks.Down, `gave 1 row, the first "8" after`},
		{"another value", sqlcheck.Config{Query: "Q", Expect: text("7")}, value("8"), checks.Down, `expected "7"`},
		{"NULL", sqlcheck.Config{Query: "Q", Expect: text("")}, value(null), checks.Down, `the first NULL after`},
		{"no row", sqlcheck.Config{Query: "Q", Expect: text("")}, said{columns: []string{"v"}}, checks.Down, "gave no row after"},
		{"empty", sqlcheck.Config{Query: "Q", Expect: text("")}, value(""), checks.Up, ""},
		{"enough rows", sqlcheck.Config{Query: "Q", Rows: 50}, many, checks.Up, "gave 50 rows"},
		{"too few rows", sqlcheck.Config{Query: "Q", Rows: 51}, many, checks.Down, "gave 50 rows, the first \"x\" after"},
		{"too few rows", sqlcheck.Config{Query: "Q", Rows: 51}, many, checks.Down, "expected at least 51"},
		{"many rows, one read", sqlcheck.Config{Query: "Q"}, long, checks.Up, "gave 1 row"},
		{"too much", sqlcheck.Config{Query: "Q", Rows: 1000}, wide, checks.Down, "sent more than 1 MiB"},
		{"refused", sqlcheck.Config{Query: "Q"}, said{code: "42501", number: 1142, message: "no SELECT for you"}, checks.Unknown, "answers, but refuses us after"},
		{"malformed", sqlcheck.Config{Query: "Q"}, said{code: "42601", number: 1064, message: "syntax"}, checks.Unknown, "while running the query: syntax ("},
		{"a write", sqlcheck.Config{Query: "Q"}, said{code: "25006", number: 1792, message: "read-only"}, checks.Unknown, "not of its health"},
		{"no table", sqlcheck.Config{Query: "Q"}, said{code: "42P01", number: 1146, message: "no\x00table"}, checks.Down, "while running the query: no"},
		{"too slow", sqlcheck.Config{Query: "Q"}, said{code: "57014", number: 3024, message: "canceled"}, checks.Down, "timed out after"},
	} {
		for driver, speak := range speakers {
			t.Run(driver+"/"+c.name, func(t *testing.T) {
				c.config.Driver, c.config.TLS = driver, plain
				target := serve(t, "127.0.0.1", speak(fake{says: map[string]said{"Q": c.says}}))
				checktest.Expect(t, checktest.Probe(t, prober(t, c.config), target, time.Minute), c.health, c.words)
			})
		}
	}
}

// TestLogin requires that a refused login is unknown and a server that takes
// none is down, and that no text holds the password or how we log in.
func TestLogin(t *testing.T) {
	t.Setenv("DB_PASSWORD", "s3cr3t-word")
	for _, c := range []struct {
		login  said
		health checks.Health
		words  string
	}{
		{said{code: "28P01", number: 1045, message: "password s3cr3t-word is wrong"}, checks.Unknown, "while logging in: password [secret] is wrong ("},
		{said{code: "28000", number: 1698, message: "no entry for this host"}, checks.Unknown, "a matter of the monitor or the grants"},
		{said{code: "57P03", number: 1053, message: "starting up"}, checks.Down, "failed after"},
		{said{code: "53300", number: 1040, message: "too many"}, checks.Down, "while logging in: too many ("},
		{said{code: "3D000", number: 1049, message: "no database"}, checks.Down, "no database"},
	} {
		for driver, speak := range speakers {
			target := serve(t, "127.0.0.1", speak(fake{login: c.login}))
			p := prober(t, sqlcheck.Config{Driver: driver, TLS: plain, User: "odd-user", Database: "odd-base", PasswordEnv: "DB_PASSWORD"})
			r := checktest.Probe(t, p, target, time.Minute)
			checktest.Expect(t, r, c.health, c.words)
			for _, hidden := range []string{"s3cr3t", "odd-user", "odd-base"} {
				if strings.Contains(r.Reason+r.Evidence.Detail, hidden) {
					t.Errorf("%s: %q is in %q", driver, hidden, r.Reason)
				}
			}
		}
	}
}

// TestClearText requires that a password goes out in clear text over verified
// TLS only.
func TestClearText(t *testing.T) {
	t.Setenv("DB_PASSWORD", "s3cr3t-word")
	authority := certtest.New(t)
	secured := &tls.Config{Certificates: []tls.Certificate{authority.Sign(t, false, "127.0.0.1")}}
	for _, c := range []struct {
		driver string
		mode   string
		health checks.Health
	}{
		{"postgres", "off", checks.Unknown}, {"postgres", "require", checks.Unknown}, {"postgres", "verify", checks.Up}, {"mysql", "off", checks.Unknown},
	} {
		t.Run(c.driver+"/"+c.mode, func(t *testing.T) {
			sent := make(chan string, 1)
			target := serve(t, "127.0.0.1", speakers[c.driver](fake{cleartxt: true, tls: secured, password: sent}))
			config := sqlcheck.Config{Driver: c.driver, PasswordEnv: "DB_PASSWORD", TLS: sqlcheck.TLS{Mode: c.mode}}
			if c.mode == "verify" {
				config.TLS.CAFile = authority.File
			}
			r := checktest.Probe(t, prober(t, config), target, time.Minute)
			checktest.Expect(t, r, c.health)
			if c.health == checks.Up {
				if got := <-sent; got != "s3cr3t-word" {
					t.Errorf("%q was sent", got)
				}
				return
			}
			checktest.Expect(t, r, c.health, "it asks for the password in clear text")
			select {
			case got := <-sent:
				t.Errorf("%q was sent", got)
			default:
			}
		})
	}
}

func TestTLS(t *testing.T) {
	authority := certtest.New(t)
	for _, c := range []struct {
		name        string
		certificate tls.Certificate
		config      sqlcheck.TLS
		health      checks.Health
		words       string
	}{
		{"by address", authority.Sign(t, false, "127.0.0.1"), sqlcheck.TLS{CAFile: authority.File}, checks.Up, ""},
		{"by name", authority.Sign(t, false, "db.example.test"), sqlcheck.TLS{CAFile: authority.File, ServerName: "db.example.test"}, checks.Up, ""},
		{"another name", authority.Sign(t, false, "db.example.test"), sqlcheck.TLS{CAFile: authority.File}, checks.Down, "in the TLS handshake: x509"},
		{"expired", authority.Sign(t, true, "127.0.0.1"), sqlcheck.TLS{CAFile: authority.File}, checks.Down, "certificate has expired"},
		{"the system's", authority.Sign(t, false, "127.0.0.1"), sqlcheck.TLS{}, checks.Down, "unknown authority"},
		{"not verified", authority.Sign(t, true, "db.example.test"), sqlcheck.TLS{Mode: "require"}, checks.Up, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := serve(t, "127.0.0.1", fake{tls: &tls.Config{Certificates: []tls.Certificate{c.certificate}}}.postgres)
			r := checktest.Probe(t, prober(t, sqlcheck.Config{Driver: "postgres", TLS: c.config}), target, time.Minute)
			checktest.Expect(t, r, c.health, c.words)
			if r.Evidence.TLS <= 0 {
				t.Errorf("no time of the handshake: %+v", r.Evidence)
			}
		})
	}
	for driver, speak := range speakers {
		for _, mode := range []string{"", "require"} {
			target := serve(t, "127.0.0.1", speak(fake{}))
			r := checktest.Probe(t, prober(t, sqlcheck.Config{Driver: driver, TLS: sqlcheck.TLS{Mode: mode}}), target, time.Minute)
			checktest.Expect(t, r, checks.Down, "the endpoint offers no TLS")
		}
	}
}

// TestOneConnection looks at what is said over a connection, and requires
// that it is ended.
func TestOneConnection(t *testing.T) {
	for driver, want := range map[string][]string{
		"postgres": {"BEGIN READ ONLY; SET LOCAL statement_timeout = ", "SELECT pg_is_in_recovery()", "Q", "bye"},
		"mysql":    {"SELECT @@version, @@read_only", "SET SESSION max_execution_time = ", "START TRANSACTION READ ONLY", "Q", "bye"},
	} {
		heard := make(chan string, 16)
		f := fake{heard: heard, says: map[string]said{"Q": value("1"), "SELECT pg_is": value("f")}}
		target := serve(t, "127.0.0.1", speakers[driver](f))
		p := prober(t, sqlcheck.Config{Driver: driver, TLS: plain, Query: "Q", Role: "primary"})
		checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up, "is a primary and gave")
		for _, statement := range want {
			if got := <-heard; !strings.HasPrefix(got, statement) {
				t.Errorf("%s heard %q, expected %q", driver, got, statement)
			}
		}
	}
}

// TestGivenUp requires that a probe that ends amid a query ends its
// connection, and makes no second one, as pgconn does to cancel.
func TestGivenUp(t *testing.T) {
	for driver, speak := range speakers {
		heard, resume, came, gone := make(chan string, 16), make(chan struct{}), make(chan bool, 8), make(chan error, 1)
		f := fake{heard: heard, resume: resume, says: map[string]said{"Q": value("1")}}
		target := serve(t, "127.0.0.1", func(conn net.Conn) {
			came <- true
			speak(f)(conn)
			err := conn.SetReadDeadline(time.Now().Add(time.Minute))
			for b := make([]byte, 64); err == nil; { // a farewell may come first
				_, err = conn.Read(b)
			}
			gone <- err
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for <-heard != "Q" {
			}
			cancel()
		}()
		r := prober(t, sqlcheck.Config{Driver: driver, TLS: plain, Query: "Q"}).Probe(ctx, target)
		checktest.Expect(t, r, checks.Unknown, "was cancelled after", "while running the query")
		close(resume)
		if err := <-gone; errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection still stands", driver)
		}
		if n := len(came); n != 1 {
			t.Errorf("%s: %d connections were made", driver, n)
		}
	}
}

// TestEnvironment requires that the settings of libpq's environment do not
// count.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "/nowhere", "PGPORT": "1", "PGUSER": "other", "PGPASSWORD": "other", "PGDATABASE": "other", "PGSSLMODE": "verify-full",
		"PGOPTIONS": "-c role=other", "PGAPPNAME": "other", "PGCONNECT_TIMEOUT": "1", "PGTARGETSESSIONATTRS": "standby", "PGREQUIREAUTH": "scram-sha-256",
		"PGCHANNELBINDING": "require", "PGMINPROTOCOLVERSION": "3.2", "PGSSLNEGOTIATION": "direct", "PGPASSFILE": "/nowhere", "PGSSLCERTMODE": "require",
	} {
		t.Setenv(name, value)
	}
	target := serve(t, "127.0.0.1", fake{}.postgres)
	checktest.Expect(t, checktest.Probe(t, prober(t, sqlcheck.Config{Driver: "postgres", TLS: plain}), target, time.Minute), checks.Up)
	t.Setenv("PGSERVICE", "s3cr3t-word")
	if _, err := sqlcheck.New(sqlcheck.Config{Driver: "postgres", User: "veer", TLS: plain}); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("with a service: %v", err)
	}
}

func TestPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cr3t-word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := sqlcheck.Config{Driver: "mysql", User: "veer", TLS: plain, PasswordFile: file}
	p := prober(t, c)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r := checktest.Probe(t, p, checktest.Refused(t, "tcp", "127.0.0.1"), time.Minute)
	checktest.Expect(t, r, checks.Unknown, "could not be tried: reading the secret")
	if _, err := sqlcheck.New(c); err == nil || !strings.Contains(err.Error(), "reading the secret") {
		t.Error(err)
	}
	c.PasswordFile, c.TLS = "", sqlcheck.TLS{CAFile: file}
	if _, err := sqlcheck.New(c); err == nil || !strings.Contains(err.Error(), "tls.ca_file") {
		t.Error(err)
	}
}

// FuzzServer requires that nothing a server sends does harm.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{"", "N", "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I", "E\x00\x00\x00\x0eSFATAL\x00\x00", "R\x00\x00\x00\x0c\x00\x00\x00\x0aS\x00\x00",
		"\x05\x00\x00\x00\x0a8.0\x00", "\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x01\x01\x01\x00\x00\x02\xfe\x01\x00\x00\x03\xfe", "\xff\xff\xff\x00"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	greeting := myGreeting()
	f.Fuzz(func(t *testing.T, sent []byte, login bool) {
		for _, driver := range []string{"postgres", "mysql"} {
			var start []byte // what brings the drivers past the login
			if login && driver == "postgres" {
				start = []byte("R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I")
			} else if login {
				start = greeting
			}
			target := serve(t, "127.0.0.1", func(conn net.Conn) {
				_, _ = conn.Write(append(slices.Clone(start), sent...))
				_ = conn.(*net.TCPConn).CloseWrite()
				until(t.Context(), conn)
			})
			p := prober(t, sqlcheck.Config{Driver: driver, TLS: plain, Query: "Q", Rows: 5, MaxLag: time.Second})
			checktest.Probe(t, p, target, 2*time.Second)
		}
	})
}

// myGreeting is what a MySQL server says until a login is taken.
func myGreeting() []byte {
	ours, theirs := net.Pipe()
	said := make(chan []byte)
	go func() {
		c := &myConn{Conn: theirs}
		greeting, _ := c.receive()
		_ = theirs.Close()
		said <- greeting
	}()
	fake{}.mysql(ours)
	greeting := <-said
	head := []byte{byte(len(greeting)), byte(len(greeting) >> 8), 0, 0}
	return append(append(head, greeting...), 7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0)
}

func TestBadConfig(t *testing.T) {
	good := sqlcheck.Config{Driver: "postgres", User: "veer"}
	for field, change := range map[string]func(*sqlcheck.Config){
		"driver":          func(c *sqlcheck.Config) { c.Driver = "sqlite" },
		"user":            func(c *sqlcheck.Config) { c.User = "" },
		"database":        func(c *sqlcheck.Config) { c.Database = "a\x00user\x00root" },
		"password_file":   func(c *sqlcheck.Config) { c.PasswordFile, c.PasswordEnv = "a", "B" },
		"tls.mode":        func(c *sqlcheck.Config) { c.TLS.Mode = "prefer" },
		"tls.server_name": func(c *sqlcheck.Config) { c.TLS.ServerName = "a:1" },
		"tls.ca_file":     func(c *sqlcheck.Config) { c.TLS.Mode, c.TLS.CAFile = "off", "ca.pem" },
		"query":           func(c *sqlcheck.Config) { c.Query = strings.Repeat("x", 8193) },
		"expect":          func(c *sqlcheck.Config) { c.Expect = text("1") },
		"rows":            func(c *sqlcheck.Config) { c.Query, c.Rows = "SELECT 1", 1001 },
		"role":            func(c *sqlcheck.Config) { c.Role = "standby" },
		"max_lag":         func(c *sqlcheck.Config) { c.MaxLag = -time.Second },
		"lag_is":          func(c *sqlcheck.Config) { c.LagIs = "down" },
	} {
		c := good
		change(&c)
		var fields []string
		c.Check(func(field, _ string, _ ...any) { fields = append(fields, field) })
		if len(fields) != 1 || fields[0] != field {
			t.Errorf("problems at %q, expected one at %s", fields, field)
		}
		if _, err := sqlcheck.New(c); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("New says %v, expected an error naming %s", err, field)
		}
	}
}
