package secret

import (
	"encoding/base64"
	"strings"
)

// Bearer is where the token of HTTP's Bearer authentication stands (RFC 6750
// section 2.1).
type Bearer struct {
	File string `yaml:"token_file,omitempty"`
	Env  string `yaml:"token_env,omitempty"`
}

// Basic is HTTP's Basic authentication (RFC 7617).
type Basic struct {
	User         string `yaml:"user,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"`
	PasswordEnv  string `yaml:"password_env,omitempty"`
}

func (b Bearer) place() Place { return Place(b) }

func (b Basic) place() Place { return Place{File: b.PasswordFile, Env: b.PasswordEnv} }

// CheckHTTP reports every problem of a request's credentials, of which at
// most one kind may be set. The fields are below bearer and basic.
func CheckHTTP(bearer Bearer, basic Basic, bad func(field, format string, args ...any)) {
	if bearer.File != "" && bearer.Env != "" {
		bad("bearer", "token_file and token_env are both set; expected one of them")
	}
	if basic.PasswordFile != "" && basic.PasswordEnv != "" {
		bad("basic", "password_file and password_env are both set; expected one of them")
	}
	if strings.ContainsFunc(basic.User, func(r rune) bool { return r == ':' || isControl(r) }) {
		bad("basic.user", "%q holds a colon or a control character, which Basic authentication cannot carry (RFC 7617 section 2)", basic.User)
	}
	if basic.place().Set() && basic.User == "" {
		bad("basic.user", "a password without a user; expected the user's name")
	}
	if basic.User != "" && !basic.place().Set() {
		bad("basic", "a user without a password; expected password_file or password_env")
	}
	if bearer.place().Set() && (basic.User != "" || basic.place().Set()) {
		bad("basic", "bearer and basic are both set; a request carries one Authorization header")
	}
}

// Authorization returns the Authorization header's value, "" for none, and
// the secrets in it, which no text that leaves the check may hold.
func Authorization(bearer Bearer, basic Basic) (header string, secrets []string, err error) {
	switch {
	case bearer.place().Set():
		token, err := bearer.place().Read()
		if err != nil {
			return "", nil, err
		}
		return "Bearer " + token, []string{token}, nil
	case basic.User != "":
		password, err := basic.place().Read()
		if err != nil {
			return "", nil, err
		}
		pair := base64.StdEncoding.EncodeToString([]byte(basic.User + ":" + password))
		return "Basic " + pair, []string{pair, password}, nil
	}
	return "", nil, nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
