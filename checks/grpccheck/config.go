package grpccheck

import (
	"maps"
	"slices"
	"strings"

	"github.com/veerdns/veer/checks/internal/dial"
	"github.com/veerdns/veer/checks/internal/secret"
)

// The highest values that Check accepts.
const (
	maxService  = 256
	maxMetadata = 64
)

// Config is what a gRPC health check asks.
type Config struct {
	// Secure is set for kind grpcs, which speaks TLS; the monitor's kind sets
	// it.
	Secure bool `yaml:"-"`

	// Service is the service whose health is asked for; "" is the server's as
	// a whole.
	Service string `yaml:"service,omitempty"`
	// Authority is the :authority header and, over TLS, the name sent as SNI
	// and verified, unless tls.server_name says otherwise. "" is the target's
	// host and port. It may hold a port, which goes into the header only.
	Authority string `yaml:"authority,omitempty"`
	// Metadata is sent with the call, by its lower-case keys.
	Metadata map[string]Value `yaml:"metadata,omitempty"`
	// Bearer authenticates the call.
	Bearer Bearer `yaml:"bearer,omitempty"`

	TLS TLS `yaml:"tls,omitempty"`
}

// Value is a metadata value: of the config where it is no secret, else of a
// file or an environment variable. A file is read anew for each probe; one
// trailing line end is dropped.
type Value struct {
	Value string `yaml:"value,omitempty"`
	File  string `yaml:"value_file,omitempty"`
	Env   string `yaml:"value_env,omitempty"`
}

// Bearer is a token, sent as "authorization: Bearer TOKEN" (RFC 6750 section
// 2.1), which stands in a file or an environment variable.
type Bearer struct {
	File string `yaml:"token_file,omitempty"`
	Env  string `yaml:"token_env,omitempty"`
}

// TLS is how the server is verified. TLS 1.2 is the lowest version spoken.
type TLS struct {
	// ServerName is sent as SNI and verified; "" is Authority, else the
	// target's host.
	ServerName string `yaml:"server_name,omitempty"`
	// CAFile is a PEM file of the only authorities trusted; "" trusts the
	// system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// Verify set to false accepts any certificate. nil is true.
	Verify *bool `yaml:"verify,omitempty"`
	// CertFile and KeyFile are PEM files of the client's certificate. They are
	// read anew for each probe.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// problem reports one problem of a config field.
type problem = func(field, format string, args ...any)

// Check reports every problem of the config by the field's key path. It reads
// no file and no environment variable; New does.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if len(c.Service) > maxService || strings.ContainsFunc(c.Service, notPrintable) {
		bad("service", "%q is not the name of a service; expected one such as shop.v1.Cart, of at most %d bytes", c.Service, maxService)
	}
	if c.Authority != "" {
		if _, err := dial.HostName(c.Authority); err != nil {
			bad("authority", "%v", err)
		}
	}
	if c.Bearer.File != "" && c.Bearer.Env != "" {
		bad("bearer", "token_file and token_env are both set; expected one of them")
	}
	c.checkMetadata(bad)
	c.checkTLS(bad)
}

// checkMetadata holds metadata to what gRPC can carry
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Custom-Metadata).
func (c Config) checkMetadata(bad problem) {
	if len(c.Metadata) > maxMetadata {
		bad("metadata", "%d keys; expected at most %d", len(c.Metadata), maxMetadata)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Metadata)) {
		value, field := c.Metadata[key], "metadata."+key
		switch {
		case !isKey(key):
			bad(field, "%q is not a metadata key; expected lower-case letters, digits, _, - and dots", key)
		case strings.HasPrefix(key, "grpc-") || isReserved(key):
			bad(field, "the key belongs to gRPC itself; remove it")
		case key == "host":
			bad(field, "set `authority` instead: it also names the server over TLS")
		case strings.HasSuffix(key, "-bin"):
			bad(field, "binary metadata cannot be given; expected a key that does not end in -bin")
		case key == "authorization" && c.Bearer.place().Set():
			bad(field, "bearer is set too; a call carries one authorization")
		case value.count() != 1:
			bad(field, "%d of value, value_file and value_env are set; expected one of them", value.count())
		case value.Value != "" && isSecretKey(key):
			bad(field+".value", "a secret does not belong into the config; use value_file or value_env")
		case len(value.Value) > secret.Max || strings.ContainsFunc(value.Value, notPrintable):
			bad(field+".value", "not a metadata value; expected printable ASCII of at most %d bytes", secret.Max)
		}
	}
}

func (c Config) checkTLS(bad problem) {
	if c.TLS != (TLS{}) && !c.Secure {
		bad("tls", "set for kind grpc, which has no TLS; use kind grpcs")
	}
	if name := c.TLS.ServerName; name != "" {
		if host, err := dial.HostName(name); err != nil || host != name {
			bad("tls.server_name", "%q is not a host name; expected one without a port, such as app.example.test", name)
		}
	}
	if !c.TLS.verify() && c.TLS.CAFile != "" {
		bad("tls.ca_file", "set while tls.verify is false, so it would never be used; remove one of them")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls.cert_file", "cert_file and key_file are not both set; expected both or none")
	}
}

func (t TLS) verify() bool { return t.Verify == nil || *t.Verify }

func (b Bearer) place() secret.Place { return secret.Place{File: b.File, Env: b.Env} }

func (v Value) place() secret.Place { return secret.Place{File: v.File, Env: v.Env} }

// count is how many of its fields are set.
func (v Value) count() int {
	n := 0
	for _, field := range []string{v.Value, v.File, v.Env} {
		if field != "" {
			n++
		}
	}
	return n
}

// isKey reports whether text is a Header-Name of the protocol.
func isKey(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
}

// isReserved reports whether the protocol or HTTP/2 (RFC 9113 section 8.2.2)
// sets a header itself or forbids it.
func isReserved(key string) bool {
	return slices.Contains([]string{
		"content-type", "content-length", "user-agent", "te", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
	}, key)
}

// isSecretKey reports whether a key speaks of a secret.
func isSecretKey(key string) bool {
	for _, word := range []string{"authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "api_key"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// notPrintable reports whether a rune is not of ASCII-Value.
func notPrintable(r rune) bool { return r < ' ' || r > '~' }
