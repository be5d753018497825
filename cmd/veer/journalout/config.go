package journalout

import (
	"net"
	"time"
)

// FileConfig is the output into files.
type FileConfig struct {
	// Path is the file; {region} in it becomes the host's region.
	Path string `yaml:"path"`
	// Size is how many bytes it may have before it is put aside, Keep how many
	// that were put aside are kept.
	Size int64 `yaml:"size"`
	Keep int   `yaml:"keep"`
}

// Defaults of FileConfig.
const (
	defaultSize = 100 << 20
	defaultKeep = 10
)

// SyslogConfig is the output to a syslog server: RFC 5424 over TLS (RFC 5425).
type SyslogConfig struct {
	// Server is HOST:PORT; the usual port is 6514.
	Server string `yaml:"server"`
	// CAFile has the certificates that its one must be signed by; empty: the
	// system's. Name is the host that its certificate must be for; empty: that of
	// Server.
	CAFile string `yaml:"ca_file"`
	Name   string `yaml:"name"`
	// CertFile and KeyFile are this host's own, where the server asks for one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// Facility is the number of RFC 5424, table 1; 0: 13, log audit.
	Facility int           `yaml:"facility"`
	Timeout  time.Duration `yaml:"timeout"`
}

const (
	defaultFacility = 13
	defaultTimeout  = 10 * time.Second
)

// Check reports what is wrong with c.
func (c FileConfig) Check(bad func(field, format string, args ...any)) {
	if c.Path == "" {
		bad("path", "the key path is missing; expected the file to write, as /var/log/veer/journal.jsonl")
	}
	if c.Size != 0 && (c.Size < 64<<10 || c.Size > 16<<30) {
		bad("size", "found %d; expected 65536 to 17179869184 bytes", c.Size)
	}
	if c.Keep < 0 || c.Keep > 10_000 {
		bad("keep", "found %d; expected 1 to 10000", c.Keep)
	}
}

// Check reports what is wrong with c.
func (c SyslogConfig) Check(bad func(field, format string, args ...any)) {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil || host == "" || port == "" {
		bad("server", "found %q; expected a host and a port, as syslog.example.org:6514", c.Server)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("cert_file", "cert_file and key_file are not both set; expected both or none")
	}
	if c.Facility < 0 || c.Facility > 23 {
		bad("facility", "found %d; expected 1 to 23", c.Facility)
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		bad("timeout", "found %s; expected up to 1m", c.Timeout)
	}
}
