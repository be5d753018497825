// Package icmpcheck checks an endpoint by ICMP echoes (RFC 792, RFC 4443
// section 4), over IPv4 and IPv6.
//
// Each echo carries random bytes of its own, and only a reply that brings
// these back counts, so that no other process's reply, and no forged one, is
// taken for it. Errors that routers send about our own echoes are told. That
// this process may not send ICMP is no trouble of the endpoint: it is unknown
// then, with what to set. It runs on Linux.
package icmpcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// Prober is a checks.Prober, safe for concurrent use. It holds no socket
// between probes.
type Prober struct {
	c      Config
	open   opener
	dialer dial.Dialer
}

// New makes a prober of a config that Check finds nothing wrong with.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("icmp check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c.fill()
	return &Prober{c: c, open: open}, nil
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve host names by r rather than by the
// system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe sends the echoes and waits for the replies, at most until ctx ends.
// The latency is the mean time of a reply; without any, that of the whole
// probe. The addresses of a name are tried one after the other until one
// answers; each gets an equal share of the time left.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	a := attempt.Begin("ICMP echo to " + t.Host)
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	addresses, err := p.dialer.Resolve(ctx, t.Host, &a.Evidence)
	if err != nil {
		return a.Fail(ctx, string(dial.Resolving), err)
	}
	var last run
	for i, address := range addresses {
		a.Evidence.Address = address.String()
		last = p.run(ctx, address, len(addresses)-i)
		if last.answered() > 0 || ctx.Err() != nil {
			break
		}
	}
	return p.judge(ctx, a, &last)
}

// run sends echoes to one of the addresses left, within its share of the time.
func (p *Prober) run(ctx context.Context, address netip.Addr, left int) run {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
		ctx = share
	}
	s, err := p.socket(address)
	if err != nil {
		return run{err: err}
	}
	defer s.Close()
	r, err := newRun(s, address, p.c.Count, p.c.Size)
	if err != nil {
		return run{err: err}
	}
	r.exchange(ctx)
	return r
}

// errDenied marks that no kind of socket is permitted.
var errDenied = errors.New("this process may not send ICMP")

// socket opens the kind of socket that the config asks for.
func (p *Prober) socket(to netip.Addr) (socket, error) {
	kinds := []string{p.c.Privileged}
	if p.c.Privileged == "auto" {
		kinds = []string{"udp", "raw"}
	}
	for _, kind := range kinds {
		s, err := p.open(kind, to)
		if err == nil || !denied(err) {
			return s, err
		}
	}
	return nil, errDenied
}

// denied reports whether a kind of socket is not to be had here: outside of
// the group range (EACCES), without CAP_NET_RAW (EPERM), or with a kernel that
// has no such kind.
func denied(err error) bool {
	var opening *openError
	return errors.As(err, &opening) &&
		(errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EPROTONOSUPPORT))
}

// openError is the failure to make a socket, before any address was used.
type openError struct{ err error }

func (e *openError) Error() string { return "opening an ICMP socket: " + e.err.Error() }
func (e *openError) Unwrap() error { return e.err }

// judge makes the result of what came back.
func (p *Prober) judge(ctx context.Context, a *attempt.Attempt, r *run) checks.Result {
	got, sent := r.answered(), len(r.echoes)
	switch {
	case errors.Is(r.err, errDenied):
		return a.End(checks.Unknown, "could not be tried: this process may not send ICMP; %s", p.remedy())
	case errors.Is(r.err, errors.ErrUnsupported):
		return a.End(checks.Unknown, "could not be tried: kind icmp runs on Linux only")
	case got == 0 && r.fault() != nil && !errors.Is(ctx.Err(), context.Canceled):
		return a.End(checks.Down, "failed after %s: %s", a.Elapsed(), r.fault())
	case errors.Is(ctx.Err(), context.Canceled) || r.err != nil:
		return a.Fail(ctx, "sending an echo", errors.Join(r.err, ctx.Err()))
	case got == 0:
		return a.Fail(ctx, fmt.Sprintf("waiting for a reply (%d sent)", sent), context.DeadlineExceeded)
	}
	lowest, mean, highest := r.times()
	a.Evidence.FirstByte = r.first()
	a.Evidence.Detail = fmt.Sprintf("%d of %d answered, %s to %s", got, sent, attempt.Duration(lowest), attempt.Duration(highest))
	health, expected := p.health(got, sent)
	said := fmt.Sprintf("was answered %d of %d times, after %s on average", got, sent, attempt.Duration(mean))
	if health != checks.Up {
		said += fmt.Sprintf("; %d%% were lost, expected at most %d%%", (sent-got)*100/sent, expected)
		if fault := r.fault(); fault != nil {
			said += " (" + fault.String() + ")"
		}
	}
	result := a.End(health, "%s", said)
	result.Latency = mean
	return result
}

// health compares the loss, and returns the limit that it broke.
func (p *Prober) health(got, sent int) (h checks.Health, limit int) {
	lost := (sent - got) * 100
	switch {
	case lost > *p.c.MaxLoss*sent:
		return checks.Down, *p.c.MaxLoss
	case p.c.WarnLoss != nil && lost > *p.c.WarnLoss*sent:
		return checks.Degraded, *p.c.WarnLoss
	}
	return checks.Up, 0
}

// remedy says what to set so that ICMP is permitted.
func (p *Prober) remedy() string {
	const (
		group = `a group of this process into sysctl net.ipv4.ping_group_range ("0 2147483647" permits all)`
		raw   = "the capability CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in its systemd unit)"
	)
	switch p.c.Privileged {
	case "udp":
		return "put " + group
	case "raw":
		return "give it " + raw
	}
	return "put " + group + ", or give it " + raw
}
