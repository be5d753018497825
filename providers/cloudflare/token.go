package cloudflare

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// maxToken bounds a token in bytes; Cloudflare's have 40 to 53.
const maxToken = 1024

// token is the API token, read when it is first needed.
type token struct {
	file, env string

	mu    sync.Mutex
	value string
}

// get returns the token.
func (t *token) get() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value != "" {
		return t.value, nil
	}
	value, err := t.read()
	if err == nil {
		t.value = value
	}
	return value, err
}

// renew reads the token's file again after one was refused, and reports
// whether there is another one now.
func (t *token) renew(refused string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value != refused {
		return t.value, t.value != "" // another request has renewed it
	}
	value, err := t.read()
	if err != nil || value == refused {
		return "", false
	}
	t.value = value
	return value, true
}

func (t *token) read() (string, error) {
	from, text := "token_env "+t.env, ""
	if t.file != "" {
		from = "token_file " + t.file
		f, err := os.Open(t.file)
		if err != nil {
			return "", fmt.Errorf("token_file: %w", err)
		}
		body, err := io.ReadAll(io.LimitReader(f, maxToken+1))
		if err := errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("token_file: %w", err)
		}
		text = string(body)
	} else {
		text = os.Getenv(t.env)
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", fmt.Errorf("%s: it is empty; expected an API token", from)
	case len(text) > maxToken:
		return "", fmt.Errorf("%s: it has more than %d bytes; expected an API token alone", from, maxToken)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("%s: it has spaces or other characters that no token has; expected an API token alone", from)
	}
	return text, nil
}
