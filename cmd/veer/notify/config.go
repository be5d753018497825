package notify

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Common are the keys of every receiver.
type Common struct {
	// Events are what it is told of; none: those of its kind.
	Events []Event `yaml:"events"`
	// Timeout bounds one try; Queue is how many messages wait for it at most.
	Timeout time.Duration `yaml:"timeout"`
	Queue   int           `yaml:"queue"`
	// CAFile has the certificates that its server's must be signed by; empty:
	// the system's.
	CAFile string `yaml:"ca_file"`
}

// Defaults of Common.
const (
	defaultTimeout = 10 * time.Second
	defaultQueue   = 100
)

// WebhookConfig is a receiver of kind webhook: an HTTP request signed as
// Standard Webhooks has it (https://www.standardwebhooks.com/).
type WebhookConfig struct {
	Common `yaml:",inline"`
	// URL, or where it stands if it is a secret.
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
	URLEnv  string `yaml:"url_env"`
	// The key: whsec_ and base64 of 24 to 64 bytes.
	SecretFile string `yaml:"secret_file"`
	SecretEnv  string `yaml:"secret_env"`
}

// SlackConfig is a receiver of kind slack: an incoming webhook, whose URL is a
// secret.
type SlackConfig struct {
	Common  `yaml:",inline"`
	URLFile string `yaml:"url_file"`
	URLEnv  string `yaml:"url_env"`
}

// PagerDutyConfig is a receiver of kind pagerduty: its Events API v2.
type PagerDutyConfig struct {
	Common `yaml:",inline"`
	// The integration key, 32 characters.
	KeyFile string `yaml:"key_file"`
	KeyEnv  string `yaml:"key_env"`
	// URL is the API's; empty: that of the US.
	URL string `yaml:"url"`
}

// PagerDutyURL is where events go by default.
const PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// EmailConfig is a receiver of kind email, by SMTP.
type EmailConfig struct {
	Common `yaml:",inline"`
	// Server is HOST:PORT; TLS is starttls, tls or none.
	Server string `yaml:"server"`
	TLS    string `yaml:"tls"`
	// Username and the password log in; empty: no login.
	Username     string   `yaml:"username"`
	PasswordFile string   `yaml:"password_file"`
	PasswordEnv  string   `yaml:"password_env"`
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
}

// The words of EmailConfig.TLS.
const (
	StartTLS    = "starttls"
	ImplicitTLS = "tls"
	NoTLS       = "none"
)

// bad reports what is wrong with a field: see the config package.
type bad = func(field, format string, args ...any)

// Check reports what is wrong with the keys of every receiver.
func (c Common) Check(bad bad) {
	for i, e := range c.Events {
		field := fmt.Sprintf("events[%d]", i)
		switch {
		case !slices.Contains(Events(), e):
			bad(field, "found %q; expected one of %s", e, words())
		case slices.Contains(c.Events[:i], e):
			bad(field, "%q is listed twice; expected each event once", e)
		}
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		bad("timeout", "found %s; expected up to 1m", c.Timeout)
	}
	if c.Queue < 0 || c.Queue > 1000 {
		bad("queue", "found %d; expected 1 to 1000", c.Queue)
	}
}

func words() string {
	var out []string
	for _, e := range Events() {
		out = append(out, string(e))
	}
	return strings.Join(out, ", ")
}

// Check reports what is wrong with c.
func (c WebhookConfig) Check(bad bad) {
	c.Common.Check(bad)
	one(bad, "url", c.URL, c.URLFile, c.URLEnv)
	if c.URL != "" {
		if err := checkURL(c.URL); err != nil {
			bad("url", "%v", err)
		}
	}
	one(bad, "secret_file", c.SecretFile, c.SecretEnv)
}

// Check reports what is wrong with c.
func (c SlackConfig) Check(bad bad) {
	c.Common.Check(bad)
	one(bad, "url_file", c.URLFile, c.URLEnv)
}

// Check reports what is wrong with c.
func (c PagerDutyConfig) Check(bad bad) {
	c.Common.Check(bad)
	one(bad, "key_file", c.KeyFile, c.KeyEnv)
	if c.URL != "" {
		if err := checkURL(c.URL); err != nil {
			bad("url", "%v", err)
		}
	}
}

// Check reports what is wrong with c.
func (c EmailConfig) Check(bad bad) {
	c.Common.Check(bad)
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil || host == "" || port == "" {
		bad("server", "found %q; expected a host and a port, as smtp.example.org:587", c.Server)
	}
	switch {
	case c.TLS != "" && !slices.Contains([]string{StartTLS, ImplicitTLS, NoTLS}, c.TLS):
		bad("tls", "found %q; expected starttls, tls or none", c.TLS)
	case c.TLS == NoTLS && !loopback(host):
		bad("tls", "found none; expected starttls or tls: messages and passwords go in the clear to a loopback address only")
	}
	if (c.Username != "") != (c.PasswordFile != "" || c.PasswordEnv != "") {
		bad("username", "username and a password are not both set; expected both or none")
	}
	if c.PasswordFile != "" && c.PasswordEnv != "" {
		bad("password_env", "password_file and password_env are both set; expected one of them")
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		bad("from", "found %q; expected an address, as veer@example.org", c.From)
	}
	if len(c.To) == 0 || len(c.To) > 50 {
		bad("to", "found %d addresses; expected 1 to 50", len(c.To))
	}
	for i, to := range c.To {
		if _, err := mail.ParseAddress(to); err != nil {
			bad(fmt.Sprintf("to[%d]", i), "found %q; expected an address, as oncall@example.org", to)
		}
	}
}

// one reports when not exactly one of several keys is set.
func one(bad bad, field string, values ...string) {
	n := 0
	for _, v := range values {
		if v != "" {
			n++
		}
	}
	base := strings.TrimSuffix(field, "_file")
	all := base + "_file or " + base + "_env"
	if field == "url" {
		all = "url, url_file or url_env"
	}
	switch {
	case n == 0:
		bad(field, "the key %s is missing; expected %s", field, all)
	case n > 1:
		bad(field, "there is more than one; expected one of %s", all)
	}
}

// checkURL refuses what messages must not go to. Its error does not repeat the
// URL.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("it is no URL; expected one like https://host.example.org/path")
	case u.User != nil:
		return fmt.Errorf("it has a user in it; expected none")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("it begins with http; expected https: only what stays on this host goes in the clear")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("its scheme is %q; expected https", cut(u.Scheme, 20))
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// maxSecret bounds a file of a secret.
const maxSecret = 16 << 10

// secret reads a secret, which no error of it tells. Field is its key's name
// without _file and _env.
func secret(field, file, env string) (string, error) {
	var text string
	switch {
	case file != "":
		info, err := os.Stat(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", field, err)
		}
		if info.Size() > maxSecret {
			return "", fmt.Errorf("%s_file %s: more than %d bytes", field, file, maxSecret)
		}
		raw, err := os.ReadFile(file) // #nosec G304 -- the operator names it
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", field, err)
		}
		text = string(raw)
	case env != "":
		text = os.Getenv(env)
	default:
		return "", nil
	}
	if text = strings.TrimSpace(text); text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		return "", fmt.Errorf("%s: expected one line of text in its file or variable", field)
	}
	return text, nil
}
