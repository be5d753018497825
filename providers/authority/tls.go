package authority

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// TLS is DNS over TLS (RFC 7858). Without Listen there is none.
type TLS struct {
	// Listen holds addresses like "0.0.0.0:853".
	Listen []string `yaml:"listen"`
	// CertFile and KeyFile are PEM files; they are read again when they change.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

func (t TLS) check(plain []string, bad func(field, format string, args ...any)) {
	if len(t.Listen) == 0 {
		if t.CertFile != "" || t.KeyFile != "" {
			bad("tls.listen", "no address to serve on, so that the other keys have no meaning; expected at least one like \"0.0.0.0:853\"")
		}
		return
	}
	seen := make(map[string]bool)
	for _, l := range plain {
		seen[l] = true
	}
	for i, l := range t.Listen {
		field := "tls.listen[" + strconv.Itoa(i) + "]"
		checkListen(field, l, bad)
		if seen[l] && !endsInPortZero(l) {
			bad(field, "%q is listed twice; DNS over TLS has a port of its own, usually 853", l)
		}
		seen[l] = true
	}
	for _, f := range []struct{ field, file string }{{"tls.cert_file", t.CertFile}, {"tls.key_file", t.KeyFile}} {
		if f.file == "" {
			bad(f.field, "no file for DNS over TLS; expected the path of a PEM file")
		}
	}
}

// Leaf reads the certificate that clients would be shown, with its key.
func (t TLS) Leaf() (*x509.Certificate, error) {
	pair, err := readPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("parse the certificate %s: %w", certFile, err)
		}
	}
	return &pair, nil
}

// certificateCheck is how often the files are looked at. They are read when
// they have changed and then stayed the same from one look to the next: a
// certificate is replaced file by file.
const certificateCheck = 2 * time.Second

// certificate is what clients are shown. New sessions have the newest; nothing
// happens to those that there are.
type certificate struct {
	every time.Duration
	log   zerolog.Logger
	inUse atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // of all below
	files   [2]string  // with its key
	seen    [2]fileStamp
	settled bool // what was seen was read
}

// fileStamp is what a change of a file shows in.
type fileStamp struct {
	modified time.Time
	size     int64
}

func stampOf(files [2]string) (out [2]fileStamp) {
	for i, file := range files {
		if is, err := os.Stat(file); err == nil {
			out[i] = fileStamp{is.ModTime(), is.Size()}
		}
	}
	return out
}

func newCertificate(t TLS, log zerolog.Logger) *certificate {
	return &certificate{files: [2]string{t.CertFile, t.KeyFile}, log: log, every: certificateCheck}
}

// first reads the files when the server is made. One that can't be used ends
// nothing but DNS over TLS, until it can be.
func (c *certificate) first(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.settled = stampOf(c.files), true
	c.read(now)
}

// watch reads the files again when they change, until ctx ends.
func (c *certificate) watch(ctx context.Context) {
	for tick := time.NewTicker(c.every); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			c.look(time.Now())
		}
	}
}

// look reads the files if they have changed.
func (c *certificate) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch is := stampOf(c.files); {
	case is != c.seen:
		c.seen, c.settled = is, false
	case !c.settled:
		c.settled = true
		c.read(now)
	}
}

// read takes the certificate into use; a bad one changes nothing.
func (c *certificate) read(now time.Time) {
	is, err := readPair(c.files[0], c.files[1])
	was := c.inUse.Load()
	if err == nil {
		err = c.refuses(is, c.files[0], now)
	}
	if err != nil {
		said := "the new certificate of DNS over TLS is refused; the former one stays in use"
		if was == nil {
			said = "the certificate of DNS over TLS can't be used; until it can, no client is served over TLS"
		}
		c.log.Error().Err(err).Msg(said)
		return
	}
	c.inUse.Store(is)
	c.log.Info().Str("file", c.files[0]).Time("ends", is.Leaf.NotAfter).Msg("read the certificate of DNS over TLS")
}

// refuses says why one is not taken into use.
func (c *certificate) refuses(is *tls.Certificate, file string, now time.Time) error {
	was := c.inUse.Load()
	if was != nil && !now.Before(is.Leaf.NotAfter) && now.Before(was.Leaf.NotAfter) {
		return fmt.Errorf("the certificate %s ended at %s, and the one in use has not", file, is.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// replace takes one into use that was read of these files; nil: none could be.
func (c *certificate) replace(t TLS, is *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if files := [2]string{t.CertFile, t.KeyFile}; files != c.files {
		c.files, c.seen, c.settled = files, stampOf(files), true
	}
	if was := c.inUse.Load(); is != nil && (was == nil || !was.Leaf.Equal(is.Leaf)) {
		c.inUse.Store(is)
		c.log.Info().Str("file", c.files[0]).Time("ends", is.Leaf.NotAfter).Msg("read the certificate of DNS over TLS")
	}
}

// secure is how sessions are made. Sessions are resumed by tickets, whose keys
// the library makes and replaces each day.
func (c *certificate) secure() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"dot"}, // RFC 7858 has it registered
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if is := c.inUse.Load(); is != nil {
				return is, nil
			}
			return nil, errors.New("there is no certificate that can be used")
		},
	}
}

// tlsAddr is an address that is served over TLS; its network is that of
// miekg/dns.
type tlsAddr struct{ net.Addr }

func (tlsAddr) Network() string { return "tcp-tls" }
