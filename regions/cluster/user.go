package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/veerdns/veer/checks"
)

const (
	// maxPassword bounds a password, in bytes.
	maxPassword = 1024
	// againAfter is how long a login that etcd refused is not tried again: etcd
	// spends much time on each, on purpose.
	againAfter = 2 * time.Second
	// loginMethod is the call that needs no token.
	loginMethod = "/etcdserverpb.Auth/Authenticate"
)

// user logs in at an etcd with users, and puts its token on every request. The
// client library would log in for every sign of life of a lease; here a token
// is used until etcd refuses it, and the password is read anew for each login.
type user struct {
	name      string
	file, env string // where the password stands
	root      keys
	trouble   *trouble

	turn chan struct{} // holds one token while nobody logs in
	// What follows belongs to the holder of the turn.
	token   string
	logged  bool
	refused error
	at      time.Time // of refused
}

func newUser(c Config, o Options, t *trouble) *user {
	u := &user{
		name: c.User, file: c.PasswordFile, env: c.PasswordEnv,
		root: keysBelow(c.Prefix, o.Owner), trouble: t, turn: make(chan struct{}, 1),
	}
	u.turn <- struct{}{}
	return u
}

// options make a client go through u.
func (u *user) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(u.unary), grpc.WithChainStreamInterceptor(u.stream)}
}

func (u *user) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if method == loginMethod {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if login, ok := req.(*etcdserverpb.AuthenticateRequest); ok {
			err = unsaid(err, login.Password)
		}
		return err
	}
	token, err := u.login(ctx, cc)
	if err != nil {
		return err
	}
	err = unsaid(invoke(withToken(ctx, token), method, req, reply, cc, opts...), token)
	if stale(err) { // nothing was done yet
		if token, err = u.login(ctx, cc, token); err != nil {
			return err
		}
		err = unsaid(invoke(withToken(ctx, token), method, req, reply, cc, opts...), token)
	}
	if errors.Is(rpctypes.Error(err), rpctypes.ErrPermissionDenied) {
		u.trouble.set(fmt.Errorf("etcd user %q may not do what Veer asks for: expected a role with readwrite on the prefix %s: %w", u.name, u.root, err))
	}
	return err
}

// unsaid is an error of a call without the secret that was sent with it, which
// etcd, or what answers in its place, may repeat, and the client library logs.
func unsaid(err error, secret string) error {
	if err == nil {
		return nil
	}
	said := status.Convert(err)
	if text := checks.Redact(said.Message(), secret); text != said.Message() {
		return status.Error(said.Code(), text)
	}
	return err
}

// stream begins a stream. No answer tells whether its token is refused, so it
// is one that is surely good: every request renews it.
func (u *user) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	token, err := u.login(ctx, cc)
	if err != nil {
		return nil, err
	}
	opened, err := open(withToken(ctx, token), desc, cc, method, opts...)
	if err != nil {
		return nil, unsaid(err, token)
	}
	return unsaying{opened, token}, nil
}

// unsaying is a stream of which no error says its token.
type unsaying struct {
	grpc.ClientStream
	token string
}

func (s unsaying) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, unsaid(err, s.token)
}

func (s unsaying) CloseSend() error { return unsaid(s.ClientStream.CloseSend(), s.token) }

func (s unsaying) SendMsg(m any) error { return unsaid(s.ClientStream.SendMsg(m), s.token) }

func (s unsaying) RecvMsg(m any) error { return unsaid(s.ClientStream.RecvMsg(m), s.token) }

func withToken(ctx context.Context, token string) context.Context {
	if token == "" { // etcd has no users
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token)
}

// stale reports whether etcd wants another token.
func stale(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) || errors.Is(err, rpctypes.ErrUserEmpty)
}

// login returns the token, and gets one where there is none, or only one that
// was refused.
func (u *user) login(ctx context.Context, cc *grpc.ClientConn, refused ...string) (string, error) {
	select {
	case <-u.turn:
		defer func() { u.turn <- struct{}{} }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if u.logged && !slices.Contains(refused, u.token) {
		return u.token, nil
	}
	if u.refused != nil && time.Since(u.at) < againAfter {
		return "", u.refused
	}
	password, err := u.password()
	if err != nil {
		return "", u.failed(err)
	}
	resp, err := etcdserverpb.NewAuthClient(cc).Authenticate(ctx, &etcdserverpb.AuthenticateRequest{Name: u.name, Password: password}, grpc.WaitForReady(true))
	switch known := rpctypes.Error(err); {
	case err == nil:
		u.token = resp.Token
	case errors.Is(known, rpctypes.ErrAuthNotEnabled):
		u.token = ""
	case errors.Is(known, rpctypes.ErrAuthFailed):
		return "", u.failed(fmt.Errorf("etcd refuses user %q: the name or the password in %s is wrong: %w", u.name, u.place(), err))
	default:
		return "", err
	}
	u.logged, u.refused = true, nil
	u.trouble.set(nil)
	return u.token, nil
}

// failed notes that there is no login, and returns why.
func (u *user) failed(err error) error {
	u.refused, u.at = err, time.Now()
	u.logged = false
	u.trouble.set(err)
	return err
}

func (u *user) place() string {
	if u.file != "" {
		return "cluster.password_file " + u.file
	}
	return "cluster.password_env " + u.env
}

// password reads it. No error holds any of it.
func (u *user) password() (string, error) {
	text := os.Getenv(u.env)
	if u.file != "" {
		f, err := os.Open(u.file)
		if err != nil {
			return "", fmt.Errorf("read the password of etcd user %q (cluster.password_file): %w", u.name, err)
		}
		body, err := io.ReadAll(io.LimitReader(f, maxPassword+2))
		if err := errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("read the password of etcd user %q (cluster.password_file): %w", u.name, err)
		}
		text = string(body)
	}
	text = strings.TrimRight(text, "\r\n")
	switch {
	case text == "":
		return "", fmt.Errorf("%s is empty: expected the password of etcd user %q", u.place(), u.name)
	case len(text) > maxPassword || strings.ContainsAny(text, "\r\n\x00"):
		return "", fmt.Errorf("%s: expected one line of at most %d bytes, the password of etcd user %q", u.place(), maxPassword, u.name)
	}
	return text, nil
}

// ownStreams gives every watch a stream of its own: on a shared one a new watch
// would come with the token of the first, which may have ended since.
type ownStreams struct {
	clientv3.Watcher
	n atomic.Uint64
}

// Watch implements clientv3.Watcher. The client tells streams apart by the
// metadata that they go with.
func (w *ownStreams) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	return w.Watcher.Watch(metadata.AppendToOutgoingContext(ctx, "veer-watch", strconv.FormatUint(w.n.Add(1), 10)), key, opts...)
}
