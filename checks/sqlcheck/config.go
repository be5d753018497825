package sqlcheck

import (
	"strings"
	"time"

	"github.com/veerdns/veer/checks/internal/dial"
	"github.com/veerdns/veer/checks/internal/secret"
)

// The words of a Config.
const (
	driverPostgres = "postgres"
	driverMySQL    = "mysql"

	tlsOff     = "off"
	tlsRequire = "require"
	tlsVerify  = "verify"

	rolePrimary = "primary"
	roleReplica = "replica"
	roleAny     = "any"

	lagDegraded = "degraded"
	lagDown     = "down"
)

// The highest values that Check accepts.
const (
	maxQuery = 8 << 10
	maxRows  = 1000
	maxLag   = 24 * time.Hour
)

// Config is how a database is asked and what it must answer. Without query,
// role and max_lag, a login is enough.
type Config struct {
	// Driver is postgres, or mysql, which is MariaDB too.
	Driver string `yaml:"driver"`
	// Database is the database to use; "" is the server's default for the
	// user.
	Database string `yaml:"database,omitempty"`
	// User logs in, with the password that stands in a file, which is read
	// anew for each probe, or in an environment variable; neither is none.
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file,omitempty"`
	PasswordEnv  string `yaml:"password_env,omitempty"`
	TLS          TLS    `yaml:"tls,omitempty"`

	// Query is one statement, run in a read-only transaction.
	Query string `yaml:"query,omitempty"`
	// Expect is the value, as text, of the first column of its first row; nil
	// is any.
	Expect *string `yaml:"expect,omitempty"`
	// Rows is how many rows it must give at least.
	Rows int `yaml:"rows,omitempty"`

	// Role is what the server must be: primary, replica or any; "" is any.
	Role string `yaml:"role,omitempty"`
	// MaxLag is how far a replica may be behind; 0 does not ask.
	MaxLag time.Duration `yaml:"max_lag,omitempty"`
	// LagIs is what a replica beyond MaxLag is: degraded or down; "" is
	// degraded.
	LagIs string `yaml:"lag_is,omitempty"`
}

// TLS is how the connection is secured. TLS 1.2 is the lowest version spoken.
type TLS struct {
	// Mode is verify, require (encrypted, but any certificate is accepted) or
	// off; "" is verify.
	Mode string `yaml:"mode,omitempty"`
	// ServerName is verified and sent as SNI; "" is the target's host.
	ServerName string `yaml:"server_name,omitempty"`
	// CAFile is a PEM file of the only authorities trusted; "" trusts the
	// system's.
	CAFile string `yaml:"ca_file,omitempty"`
}

type problem = func(field, format string, args ...any)

// Check reports every problem of the config by the field's key path. It reads
// no file and no environment variable; New does.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if c.Driver == "" {
		bad("driver", "no driver; expected postgres or mysql")
	} else {
		word(bad, "driver", c.Driver, driverPostgres, driverMySQL)
	}
	if c.User == "" {
		bad("user", "no user; expected the name to log in with")
	}
	for field, text := range map[string]string{"user": c.User, "database": c.Database, "query": c.Query} {
		if strings.Contains(text, "\x00") {
			bad(field, "the text holds a zero byte; expected none")
		}
	}
	if c.PasswordFile != "" && c.PasswordEnv != "" {
		bad("password_file", "password_file and password_env are both set; expected one of them")
	}
	c.checkTLS(bad)
	c.checkExpected(bad)
}

func (c Config) checkTLS(bad problem) {
	if c.TLS.Mode != "" {
		word(bad, "tls.mode", c.TLS.Mode, tlsVerify, tlsRequire, tlsOff)
	}
	if name := c.TLS.ServerName; name != "" {
		if host, err := dial.HostName(name); err != nil || host != name {
			bad("tls.server_name", "%q is not a host name without a port; expected the name alone", name)
		}
	}
	if c.TLS.Mode == tlsOff && c.TLS.ServerName != "" {
		bad("tls.server_name", "set while tls.mode is off, so it would never be used; remove one of them")
	}
	if c.TLS.CAFile != "" && c.TLS.Mode != "" && c.TLS.Mode != tlsVerify {
		bad("tls.ca_file", "set while tls.mode is %s, so it would never be used; remove one of them", c.TLS.Mode)
	}
}

func (c Config) checkExpected(bad problem) {
	if len(c.Query) > maxQuery {
		bad("query", "%d bytes; expected at most %d", len(c.Query), maxQuery)
	}
	if c.Rows < 0 || c.Rows > maxRows {
		bad("rows", "%d; expected 1 to %d", c.Rows, maxRows)
	}
	if c.Expect != nil && c.Query == "" {
		bad("expect", "set without a query whose value it could be; set query or remove expect")
	}
	if c.Rows > 0 && c.Query == "" {
		bad("rows", "set without a query that could give any; set query or remove rows")
	}
	if c.Role != "" {
		word(bad, "role", c.Role, rolePrimary, roleReplica, roleAny)
	}
	if c.MaxLag < 0 || c.MaxLag > maxLag {
		bad("max_lag", "%s; expected more than 0 and at most %s", c.MaxLag, maxLag)
	}
	if c.LagIs != "" {
		word(bad, "lag_is", c.LagIs, lagDegraded, lagDown)
	}
	if c.LagIs != "" && c.MaxLag == 0 {
		bad("lag_is", "set without max_lag, so it would never be used; set max_lag or remove it")
	}
	if c.MaxLag > 0 && c.Role == rolePrimary {
		bad("max_lag", "set for a primary, which is never behind; remove it, or expect a replica")
	}
}

// word reports a text that is none of the known ones.
func word(bad problem, field, text string, known ...string) {
	for _, k := range known {
		if text == k {
			return
		}
	}
	bad(field, "%q; expected one of %s", text, strings.Join(known, ", "))
}

func (c *Config) fill() {
	for field, value := range map[*string]string{&c.TLS.Mode: tlsVerify, &c.Role: roleAny, &c.LagIs: lagDegraded} {
		if *field == "" {
			*field = value
		}
	}
	if c.Query != "" && c.Expect != nil {
		c.Rows = max(c.Rows, 1)
	}
}

// password returns "" where none is set.
func (c Config) password() (string, error) {
	place := secret.Place{File: c.PasswordFile, Env: c.PasswordEnv}
	if !place.Set() {
		return "", nil
	}
	return place.Read()
}
