package grpccheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/veerdns/veer/checks/internal/dial"
)

// The most that is read of an answer: a status is a few bytes.
const (
	maxAnswer = 4 << 10
	maxHead   = 16 << 10
)

// link is one connection that speaks gRPC. When it is lost it is not made
// again.
type link struct {
	conn     *given
	client   *grpc.ClientConn
	answered answered
}

// newLink closes conn when it fails.
func newLink(conn net.Conn, authority string) (*link, error) {
	l := &link{conn: &given{Conn: conn}, answered: answered{began: time.Now()}}
	transport := insecure.NewCredentials()
	if secure, ok := conn.(*tls.Conn); ok {
		state := secure.ConnectionState()
		if state.NegotiatedProtocol != "h2" {
			_ = conn.Close() // The missing protocol is what counts.
			return nil, errors.New("the endpoint does not speak HTTP/2 (ALPN), which gRPC needs")
		}
		transport = &secured{state: state}
	}
	var err error
	l.client, err = grpc.NewClient("passthrough:///endpoint",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return l.conn.take() }),
		grpc.WithTransportCredentials(transport), grpc.WithAuthority(authority), grpc.WithUserAgent("veer"),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(), grpc.WithNoProxy(),
		grpc.WithIdleTimeout(0), grpc.WithStatsHandler(&l.answered), grpc.WithMaxHeaderListSize(maxHead),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
	)
	if err != nil {
		_ = conn.Close() // The client's error is the one that counts.
		return nil, fmt.Errorf("%w: %w", dial.ErrConfig, err)
	}
	return l, nil
}

func (l *link) close() {
	_ = l.client.Close() // The answer is judged, however the connection ends.
	_ = l.conn.Close()   // Where no call came to use it.
}

// cause is why a call failed without a status of the server: the connection's
// first error, else what gRPC says.
func (l *link) cause(err error) error {
	if lost := l.conn.failure(); lost != nil {
		return lost
	}
	return errors.New(status.Convert(err).Message())
}

// answered notes when a call's headers came, and whether its status did. Of
// an error alone one cannot tell the server's status from gRPC's own.
type answered struct {
	began time.Time
	first atomic.Int64 // nanoseconds from began; 0 is none
	whole atomic.Bool
}

// HandleRPC implements stats.Handler.
func (w *answered) HandleRPC(_ context.Context, event stats.RPCStats) {
	switch event.(type) {
	case *stats.InHeader:
		w.first.CompareAndSwap(0, int64(time.Since(w.began)))
	case *stats.InTrailer:
		w.first.CompareAndSwap(0, int64(time.Since(w.began)))
		w.whole.Store(true)
	}
}

// TagRPC implements stats.Handler.
func (w *answered) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (w *answered) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (w *answered) HandleConn(context.Context, stats.ConnStats) {}

// given is a connection that is handed out once. It keeps the first error
// that reading or writing met, which gRPC words in its own way.
type given struct {
	net.Conn

	mu    sync.Mutex
	taken bool
	err   error
}

func (g *given) take() (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.taken {
		return nil, errors.New("the connection was lost, and none is made again within a probe")
	}
	g.taken = true
	return g, nil
}

func (g *given) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *given) keep(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil && err != nil && !errors.Is(err, net.ErrClosed) {
		g.err = err
	}
}

// Read keeps the error.
func (g *given) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.keep(err)
	return n, err
}

// Write keeps the error.
func (g *given) Write(b []byte) (int, error) {
	n, err := g.Conn.Write(b)
	g.keep(err)
	return n, err
}

// secured are the credentials of a connection whose handshake is over. They
// make gRPC send "https" as the scheme.
type secured struct{ state tls.ConnectionState }

// ClientHandshake has nothing left to do.
func (s *secured) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	level := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	return conn, credentials.TLSInfo{State: s.state, CommonAuthInfo: level}, nil
}

// ServerHandshake is never called.
func (s *secured) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these are credentials of a client")
}

// Info says that the connection is over TLS.
func (s *secured) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (s *secured) Clone() credentials.TransportCredentials { return &secured{state: s.state} }

// OverrideServerName is never called: the name is verified already.
func (s *secured) OverrideServerName(string) error {
	return errors.New("the handshake is over already")
}
