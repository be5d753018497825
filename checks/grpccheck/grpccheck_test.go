package grpccheck_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/grpccheck"
	"github.com/veerdns/veer/checks/internal/certtest"
)

func prober(t *testing.T, c grpccheck.Config) *grpccheck.Prober {
	t.Helper()
	p, err := grpccheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve starts a gRPC server on host with a health service, or without one
// where it is nil.
func serve(t *testing.T, host string, service pb.HealthServer, options ...grpc.ServerOption) checks.Target {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	if service != nil {
		pb.RegisterHealthServer(server, service)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return checktest.Target(listener.Addr())
}

func secured(certificate tls.Certificate) grpc.ServerOption {
	return grpc.Creds(credentials.NewServerTLSFromCert(&certificate))
}

// The starts of a server's part of HTTP/2 (RFC 9113): a SETTINGS frame, then a
// frame of HEADERS whose 16 KiB never end.
const settings, headers = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x40\x00\x01\x04\x00\x00\x00\x01"

func TestContract(t *testing.T) {
	checktest.Run(t, checktest.Kit{
		Network: "tcp",
		New:     func(t *testing.T) checks.Prober { return prober(t, grpccheck.Config{}) },
		Serve: func(t *testing.T, host string) checks.Target {
			return serve(t, host, health.NewServer())
		},
		Drip: settings + headers, Flood: settings + headers,
	})
}

func TestContractTLS(t *testing.T) {
	authority := certtest.New(t)
	certificate := authority.Sign(t, false, "endpoint.test", "127.0.0.1", "::1")
	checktest.Run(t, checktest.Kit{
		Network: "tcp",
		New: func(t *testing.T) checks.Prober {
			return prober(t, grpccheck.Config{Secure: true, TLS: grpccheck.TLS{CAFile: authority.File}})
		},
		Serve: func(t *testing.T, host string) checks.Target {
			return serve(t, host, health.NewServer(), secured(certificate))
		},
		Drip: "\x16\x03\x03\x40\x00", Flood: "\x16\x03\x03\x40\x00",
	})
}

// answer is a health service that answers every call alike.
type answer struct {
	pb.UnimplementedHealthServer
	status pb.HealthCheckResponse_ServingStatus
	err    error
	called func(context.Context)
}

func (s answer) Check(ctx context.Context, _ *pb.HealthCheckRequest) (*pb.HealthCheckResponse, error) {
	if s.called != nil {
		s.called(ctx)
	}
	return &pb.HealthCheckResponse{Status: s.status}, s.err
}

func TestStatuses(t *testing.T) {
	real := health.NewServer()
	real.SetServingStatus("shop.v1.Cart", pb.HealthCheckResponse_NOT_SERVING)
	for _, c := range []struct {
		name    string
		service pb.HealthServer
		config  grpccheck.Config
		health  checks.Health
		words   string
	}{
		{"serving", real, grpccheck.Config{}, checks.Up, "answered SERVING after"},
		{"not serving", real, grpccheck.Config{Service: "shop.v1.Cart"}, checks.Down, "service shop.v1.Cart answered NOT_SERVING after"},
		{"another service", real, grpccheck.Config{Service: "shop.v1.Crat"}, checks.Down, `no status of "shop.v1.Crat"; is ` + "`service` right?"},
		{"no health service", nil, grpccheck.Config{}, checks.Down, "there is no grpc.health.v1.Health at this address"},
		{"unknown", answer{}, grpccheck.Config{}, checks.Down, "answered UNKNOWN after"},
		{"service unknown", answer{status: pb.HealthCheckResponse_SERVICE_UNKNOWN}, grpccheck.Config{}, checks.Down, "answered SERVICE_UNKNOWN after"},
		{"of another protocol", answer{status: 77}, grpccheck.Config{}, checks.Down, "answered status 77 after"},
		{"not found", answer{err: status.Error(codes.NotFound, "none")}, grpccheck.Config{}, checks.Down, `answered NOT_FOUND after`},
		{"unauthenticated", answer{err: status.Error(codes.Unauthenticated, "who?\x1b[2J")}, grpccheck.Config{}, checks.Down, `("who? [2J"): see bearer and metadata`},
		{"unavailable", answer{err: status.Error(codes.Unavailable, "draining")}, grpccheck.Config{}, checks.Down, `answered UNAVAILABLE after`},
		{"too late, it says", answer{err: status.Error(codes.DeadlineExceeded, "")}, grpccheck.Config{}, checks.Down, "answered DEADLINE_EXCEEDED after"},
		{"a code of its own", answer{err: status.Error(99, strings.Repeat("long ", 200))}, grpccheck.Config{}, checks.Down, "answered code 99 after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := checktest.Probe(t, prober(t, c.config), serve(t, "127.0.0.1", c.service), time.Minute)
			checktest.Expect(t, r, c.health, c.words)
			if r.Evidence.FirstByte <= 0 || r.Evidence.Detail == "" {
				t.Errorf("no time of the answer, or no detail: %+v", r.Evidence)
			}
		})
	}
}

// TestTimesOut requires that the call ends with the probe's time, and that
// the server knows the time.
func TestTimesOut(t *testing.T) {
	left := make(chan time.Duration, 1)
	target := serve(t, "127.0.0.1", answer{called: func(ctx context.Context) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		<-ctx.Done()
	}})
	r := checktest.Probe(t, prober(t, grpccheck.Config{}), target, 300*time.Millisecond)
	if r.Health != checks.Down {
		t.Errorf("%s: %s", r.Health, r.Reason)
	}
	if got := <-left; got > 300*time.Millisecond {
		t.Errorf("the server was given %s", got)
	}
}

// TestOneConnection requires that a probe makes one connection, and one call
// on it but where the server says that it did not look at the first.
func TestOneConnection(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply func(f *http2.Framer, stream uint32) error
		calls int
		words string
	}{
		{"closed", func(*http2.Framer, uint32) error { return io.EOF }, 1, ": the endpoint "}, // closed or reset the connection
		{"reset", func(f *http2.Framer, stream uint32) error { return f.WriteRSTStream(stream, http2.ErrCodeInternal) }, 1, "INTERNAL_ERROR"},
		{"refused", func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}, 2, "REFUSED_STREAM"},
		{"go away", func(f *http2.Framer, _ uint32) error { return f.WriteGoAway(0, http2.ErrCodeNo, nil) }, 1, "none is made again within a probe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var connections, calls atomic.Int32
			s := checktest.ServeTCP(t, func(_ context.Context, conn net.Conn) {
				connections.Add(1)
				_, _ = io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
				framer := http2.NewFramer(conn, conn)
				err := framer.WriteSettings()
				for err == nil {
					var frame http2.Frame
					if frame, err = framer.ReadFrame(); err == nil && frame.Header().Type == http2.FrameHeaders {
						calls.Add(1)
						err = c.reply(framer, frame.Header().StreamID)
					}
				}
			})
			r := checktest.Probe(t, prober(t, grpccheck.Config{}), s.Target, time.Minute)
			checktest.Expect(t, r, checks.Down, "while waiting for the answer", c.words)
			if connections.Load() != 1 || int(calls.Load()) != c.calls {
				t.Errorf("%d connections and %d calls, expected 1 and %d", connections.Load(), calls.Load(), c.calls)
			}
		})
	}
}

func TestNotGRPC(t *testing.T) {
	for name, c := range map[string]struct {
		said  string
		words string
	}{
		"http/1.1": {"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1"},
		"ssh":      {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := checktest.ServeTCP(t, func(_ context.Context, conn net.Conn) {
				_, _ = conn.Write([]byte(c.said))
				buffer := make([]byte, 4096)
				for {
					if _, err := conn.Read(buffer); err != nil {
						return
					}
				}
			})
			r := checktest.Probe(t, prober(t, grpccheck.Config{}), s.Target, time.Minute)
			checktest.Expect(t, r, checks.Down, "while waiting for the answer", c.words)
			s.AwaitGone(t)
		})
	}
}

// TestWebServer checks a server that speaks HTTP/2 and no gRPC.
func TestWebServer(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	r := checktest.Probe(t, prober(t, grpccheck.Config{}), checktest.Target(server.Listener.Addr()), time.Minute)
	checktest.Expect(t, r, checks.Down, "while waiting for the answer", "404 (Not Found)")
}

func TestTLS(t *testing.T) {
	authority, no := certtest.New(t), false
	trusted := grpccheck.TLS{CAFile: authority.File}
	for _, c := range []struct {
		name        string
		certificate tls.Certificate
		config      grpccheck.Config
		health      checks.Health
		words       string
		sni         string
	}{
		{"by address", authority.Sign(t, false, "127.0.0.1"), grpccheck.Config{TLS: trusted}, checks.Up, "SERVING", ""},
		{"by authority", authority.Sign(t, false, "app.example.test"), grpccheck.Config{Authority: "app.example.test:8443", TLS: trusted}, checks.Up, "SERVING", "app.example.test"},
		{"by server_name", authority.Sign(t, false, "inner.example.test"), grpccheck.Config{Authority: "app.example.test",
			TLS: grpccheck.TLS{CAFile: authority.File, ServerName: "inner.example.test"}}, checks.Up, "SERVING", "inner.example.test"},
		{"another name", authority.Sign(t, false, "other.example.test"), grpccheck.Config{TLS: trusted}, checks.Down, "in the TLS handshake: x509", ""},
		{"expired", authority.Sign(t, true, "127.0.0.1"), grpccheck.Config{TLS: trusted}, checks.Down, "certificate has expired", ""},
		{"not verified", authority.Sign(t, true, "other.example.test"), grpccheck.Config{TLS: grpccheck.TLS{Verify: &no}}, checks.Up, "SERVING", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sni, host string
			service := answer{status: pb.HealthCheckResponse_SERVING, called: func(ctx context.Context) {
				from, _ := peer.FromContext(ctx)
				sni = from.AuthInfo.(credentials.TLSInfo).State.ServerName
				md, _ := metadata.FromIncomingContext(ctx)
				host = md.Get(":authority")[0]
			}}
			target := serve(t, "127.0.0.1", service, secured(c.certificate))
			c.config.Secure = true
			r := checktest.Probe(t, prober(t, c.config), target, time.Minute)
			checktest.Expect(t, r, c.health, c.words)
			if r.Evidence.TLS <= 0 {
				t.Errorf("no time of the handshake: %+v", r.Evidence)
			}
			if r.Health != checks.Up {
				return
			}
			if want := c.config.Authority; sni != c.sni || want != "" && host != want || want == "" && host != fmt.Sprint("127.0.0.1:", target.Port) {
				t.Errorf("the server was asked for %q as %q", sni, host)
			}
		})
	}
}

// TestNoHTTP2 requires ALPN's h2: without it a server would read our HTTP/2
// as nonsense.
func TestNoHTTP2(t *testing.T) {
	authority := certtest.New(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{authority.Sign(t, false, "127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // The prober judges.
			_ = conn.Close()
		}
	}()
	p := prober(t, grpccheck.Config{Secure: true, TLS: grpccheck.TLS{CAFile: authority.File}})
	checktest.Expect(t, checktest.Probe(t, p, checktest.Target(listener.Addr()), time.Minute), checks.Down, "does not speak HTTP/2 (ALPN)")
}

// TestMetadata requires that what is configured arrives, and that no secret
// comes back in a reason, even when the server repeats it.
func TestMetadata(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	store := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store("first-secret\n")
	t.Setenv("PROBE_KEY", "s3cr3t-word")
	var got metadata.MD
	target := serve(t, "127.0.0.1", echo{&got})
	config := grpccheck.Config{
		Bearer:   grpccheck.Bearer{File: file},
		Metadata: map[string]grpccheck.Value{"x-tenant": {Value: "shop"}, "x-api-key": {Env: "PROBE_KEY"}},
	}
	p := prober(t, config)
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Down, "[secret] Bearer [secret] shop")
	if err := p.Watch(t.Context(), target); err == nil || !strings.Contains(err.Error(), "[secret] Bearer [secret] shop") {
		t.Errorf("the watch says %v", err)
	}
	if agent := got.Get("user-agent"); len(agent) != 1 || !strings.HasPrefix(agent[0], "veer ") {
		t.Errorf("user-agent %q", agent)
	}
	store("second-secret")
	checktest.Probe(t, p, target, time.Minute)
	if token := got.Get("authorization"); len(token) != 1 || token[0] != "Bearer second-secret" {
		t.Errorf("authorization %q", token)
	}
	store("unprintable-é")
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Unknown, "the token is not printable ASCII")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Unknown, "bearer: reading the secret")
}

// echo answers every call with an error that repeats its metadata.
type echo struct{ got *metadata.MD }

func (e echo) say(ctx context.Context) error {
	*e.got, _ = metadata.FromIncomingContext(ctx)
	return status.Error(codes.PermissionDenied, strings.Join([]string{
		strings.Join(e.got.Get("x-api-key"), ""), strings.Join(e.got.Get("authorization"), ""), strings.Join(e.got.Get("x-tenant"), ""),
	}, " "))
}

func (e echo) Check(ctx context.Context, _ *pb.HealthCheckRequest) (*pb.HealthCheckResponse, error) {
	return nil, e.say(ctx)
}

func (e echo) List(ctx context.Context, _ *pb.HealthListRequest) (*pb.HealthListResponse, error) {
	return nil, e.say(ctx)
}

func (e echo) Watch(_ *pb.HealthCheckRequest, stream grpc.ServerStreamingServer[pb.HealthCheckResponse]) error {
	return e.say(stream.Context())
}
