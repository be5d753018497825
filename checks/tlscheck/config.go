package tlscheck

import (
	"crypto/tls"
	"strconv"
	"time"

	"github.com/veerdns/veer/checks/internal/dial"
)

// The highest values that Check accepts.
const (
	maxWarnBefore = 10 * 365 * 24 * time.Hour
	maxProtocols  = 16
)

// Config is how a TLS check verifies the server and what it expects.
type Config struct {
	// ServerName is sent as SNI and verified; "" is the target's host. An
	// address is verified, but never sent (RFC 6066 section 3).
	ServerName string `yaml:"server_name,omitempty"`
	// CAFile is a PEM file of the only authorities trusted; "" trusts the
	// system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// Verify set to false trusts any authority and any name; the dates of the
	// server's own certificate still count. nil is true.
	Verify *bool `yaml:"verify,omitempty"`
	// MinVersion is the lowest version spoken: 1.0, 1.1, 1.2 or 1.3. "" is 1.2.
	MinVersion string `yaml:"min_version,omitempty"`
	// ALPN lists the application protocols offered (RFC 7301), of which the
	// server must choose one. Empty offers none.
	ALPN []string `yaml:"alpn,omitempty"`
	// WarnBefore is how long before the certificate's end, or that of one it
	// depends on, the endpoint is degraded. 0 is never: only a certificate
	// that has expired counts, as down.
	WarnBefore time.Duration `yaml:"warn_before,omitempty"`
	// CertFile and KeyFile are PEM files of the client's certificate, for
	// servers that ask for one. They are read anew for each probe.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// Check reports every problem of the config by the field's key path. It reads
// no file; New does.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if name := c.ServerName; name != "" {
		if host, err := dial.HostName(name); err != nil || host != name {
			bad("server_name", "%q is not a host name; expected one without a port, such as app.example.test", name)
		}
	}
	if c.CAFile != "" && !c.verify() {
		bad("ca_file", "set while verify is false, so it would never be used; remove one of them")
	}
	if _, ok := version(c.MinVersion); !ok {
		bad("min_version", "%q is not a version; expected 1.0, 1.1, 1.2 or 1.3", c.MinVersion)
	}
	if len(c.ALPN) > maxProtocols {
		bad("alpn", "%d protocols; expected at most %d", len(c.ALPN), maxProtocols)
	}
	for i, protocol := range c.ALPN {
		if protocol == "" || len(protocol) > 255 {
			bad("alpn["+strconv.Itoa(i)+"]", "%d bytes; expected 1 to 255, such as h2 (RFC 7301 section 3.1)", len(protocol))
		}
	}
	if c.WarnBefore < 0 || c.WarnBefore > maxWarnBefore {
		bad("warn_before", "%s; expected 0s to %dh, such as 336h", c.WarnBefore, int(maxWarnBefore.Hours()))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("cert_file", "cert_file and key_file are not both set; expected both or none")
	}
}

func (c Config) verify() bool { return c.Verify == nil || *c.Verify }

func version(text string) (uint16, bool) {
	switch text {
	case "", "1.2":
		return tls.VersionTLS12, true
	case "1.0":
		return tls.VersionTLS10, true
	case "1.1":
		return tls.VersionTLS11, true
	case "1.3":
		return tls.VersionTLS13, true
	}
	return 0, false
}
