package httpcheck

import (
	"encoding/base64"

	"github.com/veerdns/veer/checks/internal/secret"
)

func (s Secret) place() secret.Place { return secret.Place{File: s.File, Env: s.Env} }

func (b Basic) place() secret.Place { return secret.Place{File: b.PasswordFile, Env: b.PasswordEnv} }

// authorization returns the Authorization header's value, "" for none, and
// the secrets in it, which no text that leaves the check may hold.
func (c Config) authorization() (header string, secrets []string, err error) {
	switch {
	case c.Bearer.place().Set():
		token, err := c.Bearer.place().Read()
		if err != nil {
			return "", nil, err
		}
		return "Bearer " + token, []string{token}, nil
	case c.Basic.User != "":
		password, err := c.Basic.place().Read()
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
