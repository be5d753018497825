package grpccheck_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/grpccheck"
)

// told is a real health server that tells when a Watch has begun.
type told struct {
	*health.Server
	begun chan struct{}
}

func (s told) Watch(request *pb.HealthCheckRequest, stream grpc.ServerStreamingServer[pb.HealthCheckResponse]) error {
	return s.Server.Watch(request, after{stream, s.begun})
}

// after tells after the first message.
type after struct {
	grpc.ServerStreamingServer[pb.HealthCheckResponse]
	begun chan struct{}
}

func (a after) Send(r *pb.HealthCheckResponse) error {
	err := a.ServerStreamingServer.Send(r)
	select {
	case a.begun <- struct{}{}:
	default:
	}
	return err
}

func watch(t *testing.T, ctx context.Context, target checks.Target) <-chan error {
	returned := make(chan error, 1)
	p := prober(t, grpccheck.Config{})
	go func() { returned <- p.Watch(ctx, target) }()
	return returned
}

// TestWatchStatus requires that a watch returns when the status changes, in
// either direction.
func TestWatchStatus(t *testing.T) {
	s := told{health.NewServer(), make(chan struct{}, 1)}
	target := serve(t, "127.0.0.1", s)
	for _, c := range []struct {
		to    pb.HealthCheckResponse_ServingStatus
		words string
	}{
		{pb.HealthCheckResponse_NOT_SERVING, "NOT_SERVING, after SERVING"},
		{pb.HealthCheckResponse_SERVING, "SERVING, after NOT_SERVING"},
	} {
		returned := watch(t, t.Context(), target)
		<-s.begun
		s.SetServingStatus("", c.to)
		if err := <-returned; err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v, expected %q", err, c.words)
		}
		select {
		case <-s.begun: // by the change itself
		default:
		}
	}
}

// TestWatchEnds requires that a watch that streams returns nil when told to
// end.
func TestWatchEnds(t *testing.T) {
	s := told{health.NewServer(), make(chan struct{}, 1)}
	target := serve(t, "127.0.0.1", s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	returned := watch(t, ctx, target)
	<-s.begun
	cancel()
	if err := <-returned; err != nil {
		t.Error(err)
	}
}

// TestWatchWithout requires that where the server knows no Watch, the
// connection alone is watched.
func TestWatchWithout(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := func(t *testing.T) checks.Target {
		return serve(t, "127.0.0.1", health.NewServer(), grpc.StreamInterceptor(func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			asked <- struct{}{}
			return status.Error(codes.Unimplemented, "")
		}))
	}
	var lost <-chan error
	if !t.Run("served", func(t *testing.T) {
		target := server(t)
		ctx, cancel := context.WithCancel(context.Background())
		ended := watch(t, ctx, target)
		<-asked
		checktest.Expect(t, checktest.Probe(t, prober(t, grpccheck.Config{}), target, time.Minute), checks.Up)
		select {
		case err := <-ended:
			t.Fatalf("the watch ended: %v", err)
		default:
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%v, expected nil after the context ended", err)
		}
		lost = watch(t, context.WithoutCancel(t.Context()), target)
		<-asked
	}) { // The server stops here.
		return
	}
	if err := <-lost; err == nil || !strings.Contains(err.Error(), "closed the connection") && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%v, expected the loss of the connection", err)
	}
}

// TestNothingLingers requires that probes leave no goroutine behind.
func TestNothingLingers(t *testing.T) {
	good, hung := serve(t, "127.0.0.1", health.NewServer()), checktest.Hang(t, "tcp")
	p := prober(t, grpccheck.Config{})
	checktest.Expect(t, checktest.Probe(t, p, good, time.Minute), checks.Up)
	before := runtime.NumGoroutine()
	for range 50 {
		checktest.Expect(t, checktest.Probe(t, p, good, time.Minute), checks.Up)
	}
	checktest.Expect(t, checktest.Probe(t, p, hung.Target, 50*time.Millisecond), checks.Down)
	hung.AwaitGone(t)
	// The server's side of the last connection ends on its own.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before+3 {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}
