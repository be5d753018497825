// Package redact keeps secrets out of the errors of providers: what is at the
// other end, or on the way there, may repeat what it was sent.
package redact

import "github.com/veerdns/veer/checks"

// Error is an error whose text holds no secret; errors.Is and errors.As see
// what err is. Of an error without one it is err itself.
func Error(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	was := err.Error()
	if text := checks.Redact(was, secrets...); text != was {
		return &redacted{text, err}
	}
	return err
}

type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }
