package grpccheck

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// judge makes the result of a status that the server gave.
func (p *Prober) judge(a *attempt.Attempt, got health.HealthCheckResponse_ServingStatus) checks.Result {
	a.Evidence.Detail = word(got)
	switch got {
	case health.HealthCheckResponse_SERVING:
		return a.End(checks.Up, "answered SERVING after %s", a.Elapsed())
	case health.HealthCheckResponse_SERVICE_UNKNOWN:
		return a.End(checks.Down, "answered SERVICE_UNKNOWN after %s, expected SERVING: %s", a.Elapsed(), p.unknownService())
	}
	return a.End(checks.Down, "answered %s after %s, expected SERVING", word(got), a.Elapsed())
}

// word names a status; a number where it is none that the protocol has.
func word(got health.HealthCheckResponse_ServingStatus) string {
	if name, ok := health.HealthCheckResponse_ServingStatus_name[int32(got)]; ok {
		return name
	}
	return "status " + strconv.Itoa(int(got))
}

func (p *Prober) unknownService() string {
	if p.c.Service == "" {
		return "its health service has no status of the server as a whole; set `service`"
	}
	return "its health service has no status of " + strconv.Quote(p.c.Service) + "; is `service` right?"
}

// explain makes the result of an error that the server answered with
// (https://grpc.io/docs/guides/status-codes/), or of an answer that is not
// gRPC's.
func (p *Prober) explain(a *attempt.Attempt, err error) checks.Result {
	got := status.Convert(err)
	code := "code " + strconv.Itoa(int(got.Code()))
	if known := codeWord(got.Code()); known != "" {
		code = known
	}
	a.Evidence.Detail = code
	said := "answered " + code + " after " + a.Elapsed() + ", expected SERVING"
	if got.Message() != "" {
		said += " (" + a.Quote([]byte(got.Message()), 200) + ")"
	}
	switch got.Code() {
	case codes.NotFound:
		return a.End(checks.Down, "%s: %s", said, p.unknownService())
	case codes.Unimplemented:
		return a.End(checks.Down, "%s: there is no grpc.health.v1.Health at this address; register it in the server, or check with kind tcp or tls", said)
	case codes.Unauthenticated, codes.PermissionDenied:
		return a.End(checks.Down, "%s: see bearer and metadata, or let the server answer health checks to all", said)
	}
	return a.End(checks.Down, "%s", said)
}

// codeWord is a code as the protocol writes it, "" for none of its codes.
func codeWord(c codes.Code) string {
	words := [...]string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	if int64(c) < int64(len(words)) {
		return words[c]
	}
	return ""
}

// Watch implements checks.Watcher: it holds a Watch call open, and returns
// when the status changes or the connection is lost. Where the server knows
// no Watch, only the connection is watched.
func (p *Prober) Watch(ctx context.Context, t checks.Target) error {
	t = p.at(t)
	sent, secrets, err := p.c.metadata()
	if err != nil {
		return fmt.Errorf("watching %s: %w", t.Name, err)
	}
	secure, err := p.tlsConfig(t)
	if err != nil {
		return fmt.Errorf("watching %s: %w", t.Name, err)
	}
	conn, err := p.dialer.DialToHold(ctx, t, 0, secure)
	var l *link
	if err == nil {
		l, err = newLink(conn, p.authority(t))
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("no connection to watch %s could be had: %w", t.Name, err)
	}
	defer l.close()
	err = p.follow(metadata.NewOutgoingContext(ctx, sent), l)
	if ctx.Err() != nil {
		return nil
	}
	a := attempt.Begin("")
	a.Hide(secrets...) // The server may have sent them back.
	return fmt.Errorf("the watch of %s ended: %s", t.Name, a.Quote([]byte(attempt.Cause(err)), 200))
}

// follow reads the statuses that the server streams until one differs.
func (p *Prober) follow(ctx context.Context, l *link) error {
	stream, err := health.NewHealthClient(l.client).Watch(ctx, &health.HealthCheckRequest{Service: p.c.Service})
	if err != nil {
		return l.cause(err)
	}
	first, err := stream.Recv()
	for err == nil {
		var next *health.HealthCheckResponse
		if next, err = stream.Recv(); err == nil && next.GetStatus() != first.GetStatus() {
			return fmt.Errorf("%s, after %s", word(next.GetStatus()), word(first.GetStatus()))
		}
	}
	if status.Code(err) != codes.Unimplemented {
		return l.cause(err)
	}
	// gRPC lets calls through before it says that it is ready.
	for state := l.client.GetState(); state == connectivity.Ready || state == connectivity.Connecting; state = l.client.GetState() {
		l.client.WaitForStateChange(ctx, state)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return l.cause(errors.New("the endpoint closed the connection"))
}
