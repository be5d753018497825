package authority

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Cookies says how the server takes DNS cookies (RFC 7873), by which a client
// shows that it is at the address that it asks from.
type Cookies struct {
	// Enabled: nil is true. Without, the option is ignored.
	Enabled *bool `yaml:"enabled"`
	// Require has clients without a valid server cookie answered over TCP only.
	Require bool `yaml:"require"`
	// SecretFile or SecretEnv holds the secrets, each of 32 hexadecimal digits:
	// the first makes cookies, all are accepted. Servers of one address share
	// them. Neither: a random one, which ends with the process.
	SecretFile string `yaml:"secret_file"`
	SecretEnv  string `yaml:"secret_env"`
}

// Bounds of what a file of secrets holds.
const (
	maxCookieSecrets = 8
	maxCookieFile    = 4 << 10
)

func (c Cookies) check(bad func(field, format string, args ...any)) {
	off := c.Enabled != nil && !*c.Enabled
	if off && c.Require {
		bad("cookies.require", "cookies are required and not enabled; expected one or the other")
	}
	if c.SecretFile != "" && c.SecretEnv != "" {
		bad("cookies.secret_env", "is given beside secret_file; expected one of them")
	}
}

// ReadSecrets reads the secrets, to tell what is wrong with them.
func (c Cookies) ReadSecrets() error {
	_, err := c.read()
	return err
}

// read returns the keys of the secrets. Errors name the place, never the value.
func (c Cookies) read() ([]sipKey, error) {
	var text, place string
	switch {
	case c.SecretFile != "":
		place = "cookies.secret_file " + c.SecretFile
		f, err := os.Open(c.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("cookies.secret_file: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was read
		content, err := io.ReadAll(io.LimitReader(f, maxCookieFile+1))
		if err != nil {
			return nil, fmt.Errorf("cookies.secret_file: %w", err)
		}
		text = string(content)
	case c.SecretEnv != "":
		place, text = "cookies.secret_env "+c.SecretEnv, os.Getenv(c.SecretEnv)
	default:
		var secret [16]byte
		if _, err := rand.Read(secret[:]); err != nil {
			return nil, fmt.Errorf("make a secret for cookies: %w", err)
		}
		return []sipKey{sipKeyOf(secret)}, nil
	}
	keys, err := parseSecrets(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return keys, nil
}

// parseSecrets parses secrets with white space between them. Its errors have
// nothing of them.
func parseSecrets(text string) ([]sipKey, error) {
	const expected = "expected secrets of 32 hexadecimal digits, one a line"
	words := strings.Fields(text)
	switch {
	case len(text) > maxCookieFile:
		return nil, fmt.Errorf("more than %d bytes; %s", maxCookieFile, expected)
	case len(words) == 0:
		return nil, errors.New("no secret; " + expected)
	case len(words) > maxCookieSecrets:
		return nil, fmt.Errorf("%d secrets, at most %d are accepted at once; %s", len(words), maxCookieSecrets, expected)
	}
	keys := make([]sipKey, len(words))
	for i, w := range words {
		var secret [16]byte
		if len(w) != hex.EncodedLen(len(secret)) {
			return nil, fmt.Errorf("secret %d has %d characters; %s", i+1, len(w), expected)
		}
		if _, err := hex.Decode(secret[:], []byte(w)); err != nil {
			return nil, fmt.Errorf("secret %d is not hexadecimal; %s", i+1, expected)
		}
		keys[i] = sipKeyOf(secret)
	}
	return keys, nil
}
