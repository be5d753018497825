// Package attempt turns the course of one probe into a checks.Result: it
// measures the time, classes errors, and words reasons alike for every
// protocol.
//
// What counts against whom: a time-out, a refusal, an unreachable network or
// host, a name without an address and a wrong answer are the endpoint's, so
// Down. A probe that was cancelled, and an error that is surely this host's
// own (see Own), are Unknown: they say nothing of the endpoint.
package attempt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/dial"
)

// Attempt is one probe under way. It belongs to one goroutine.
type Attempt struct {
	// Evidence is returned with the result.
	Evidence checks.Evidence
	what     string
	secrets  []string
	start    time.Time
}

// Begin starts the clock of an attempt. What says what is done, and starts
// the reason: "GET http://192.0.2.10/healthz".
func Begin(what string) *Attempt { return Began(what, time.Now()) }

// Began is Begin for an attempt whose clock was started at a time.
func Began(what string, start time.Time) *Attempt { return &Attempt{what: what, start: start} }

// Hide keeps secrets out of the reason and the evidence, even when the
// endpoint sends them back.
func (a *Attempt) Hide(secrets ...string) {
	a.secrets = append(a.secrets, secrets...)
	// A secret may be a part of another one, which then goes first.
	slices.SortFunc(a.secrets, func(x, y string) int { return len(y) - len(x) })
}

// Elapsed is the time since Begin, in words.
func (a *Attempt) Elapsed() string { return Duration(time.Since(a.start)) }

// End makes the result: the reason is what was done and the formatted text.
func (a *Attempt) End(h checks.Health, format string, args ...any) checks.Result {
	latency := time.Since(a.start)
	reason := a.what + " " + fmt.Sprintf(format, args...)
	a.Evidence.Detail = Clip(a.redact(a.Evidence.Detail), 256)
	return checks.Result{Health: h, Latency: latency, Reason: Clip(a.redact(reason), 600), Evidence: a.Evidence}
}

func (a *Attempt) redact(text string) string { return checks.Redact(text, a.secrets...) }

// Fail makes the result of an error met while doing something ("sending the
// request", ...); an error of dial knows its own phase.
func (a *Attempt) Fail(ctx context.Context, doing string, err error) checks.Result {
	cause := err
	var dialled *dial.Error
	if errors.As(err, &dialled) {
		doing, cause = string(dialled.Phase), dialled.Err
	}
	at := ""
	if a.Evidence.Address != "" && !strings.Contains(a.what, a.Evidence.Address) {
		at = " (" + a.Evidence.Address + ")"
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return a.End(checks.Unknown, "was cancelled after %s while %s%s; this says nothing of the endpoint", a.Elapsed(), doing, at)
	case TimedOut(ctx, cause):
		return a.End(checks.Down, "timed out after %s while %s%s", a.Elapsed(), doing, at)
	case Own(cause):
		return a.End(checks.Unknown, "could not be tried, by this host's own trouble while %s%s: %s", doing, at, Cause(cause))
	}
	return a.End(checks.Down, "failed after %s while %s%s: %s", a.Elapsed(), doing, at, Cause(cause))
}

// Ended makes the result of a probe whose context had ended before it began.
func (a *Attempt) Ended(ctx context.Context) checks.Result {
	return a.End(checks.Unknown, "was not tried: %s before it began; this says nothing of the endpoint", context.Cause(ctx))
}

// TimedOut reports whether err is the end of the probe's time.
func TimedOut(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// Own reports whether err is surely the trouble of the host that probes: no
// descriptor, buffer, memory, watch (epoll), local port or address family left, a local
// firewall, or an incomplete config. An unreachable network is not among
// them: the trouble may be on either side, and the vantages' quorum decides.
func Own(err error) bool {
	for _, own := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENOSPC, syscall.EADDRNOTAVAIL,
		syscall.EAFNOSUPPORT, syscall.EPERM, syscall.EACCES, dial.ErrConfig,
	} {
		if errors.Is(err, own) {
			return true
		}
	}
	var dns *net.DNSError // It keeps the text of an error of the system only.
	return errors.As(err, &dns) &&
		(strings.Contains(dns.Err, syscall.EMFILE.Error()) || strings.Contains(dns.Err, syscall.ENFILE.Error()))
}

// Cause words an error for a reason: the innermost error without the
// addresses and system calls, which the reason names already.
func Cause(err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var errno syscall.Errno
	switch {
	case errors.As(err, &dns):
		return dns.Name + ": " + dns.Err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the endpoint closed the connection"
	case errors.Is(err, syscall.ECONNRESET):
		return "the endpoint reset the connection"
	case errors.As(err, &certificate):
		return certificate.Err.Error()
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// Quote shows the start of what an endpoint sent, at most limit bytes, without
// secrets.
func (a *Attempt) Quote(sent []byte, limit int) string {
	return strconv.Quote(a.Show(string(sent[:min(len(sent), 64<<10)]), limit))
}

// Show is the start of a text that may hold what an endpoint sent, at most
// limit bytes, printable and without secrets.
func (a *Attempt) Show(text string, limit int) string { return Clip(a.redact(text), limit) }
