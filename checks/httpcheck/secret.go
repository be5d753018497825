package httpcheck

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds what is read of a secret's file, in bytes.
const maxSecret = 8 << 10

func (s Secret) set() bool { return s.File != "" || s.Env != "" }

// read returns the secret. Its errors name the place, never the value.
func (s Secret) read() (string, error) {
	var value string
	switch {
	case s.File != "":
		f, err := os.Open(s.File)
		if err != nil {
			return "", fmt.Errorf("reading the secret: %w", err)
		}
		defer f.Close()
		content, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return "", fmt.Errorf("reading the secret: %w", err)
		}
		value = strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	case s.Env != "":
		value = os.Getenv(s.Env)
	}
	place := "file " + s.File
	if s.File == "" {
		place = "environment variable " + s.Env
	}
	switch {
	case value == "":
		return "", fmt.Errorf("the secret of %s is empty or not set", place)
	case len(value) > maxSecret:
		return "", fmt.Errorf("the secret of %s is longer than %d bytes", place, maxSecret)
	case strings.ContainsFunc(value, isControl):
		return "", errors.New("the secret of " + place + " holds a control character; expected one line of text")
	}
	return value, nil
}

func (b Basic) password() Secret { return Secret{File: b.PasswordFile, Env: b.PasswordEnv} }

// authorization returns the Authorization header's value, "" for none, and
// the secrets in it, which no text that leaves the check may hold.
func (c Config) authorization() (header string, secrets []string, err error) {
	switch {
	case c.Bearer.set():
		token, err := c.Bearer.read()
		if err != nil {
			return "", nil, err
		}
		return "Bearer " + token, []string{token}, nil
	case c.Basic.User != "":
		password, err := c.Basic.password().read()
		if err != nil {
			return "", nil, err
		}
		pair := base64.StdEncoding.EncodeToString([]byte(c.Basic.User + ":" + password))
		return "Basic " + pair, []string{pair, password}, nil
	}
	return "", nil, nil
}

func (t TLS) verify() bool { return t.Verify == nil || *t.Verify }

func (b Body) any() bool { return b.Contains != "" || b.Matches != "" || b.JSON != nil }
