package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Bounds of the listener.
const (
	httpTimeout     = 15 * time.Second
	headerTimeout   = 5 * time.Second // of the TLS handshake, too
	httpConnections = 64
	profileMost     = time.Minute // a profile that takes time
	tokenLeast      = 16
	tokenMost       = 512
)

// startHTTP serves metrics and health where the config says so. Where it can't,
// it is tried again: answering queries does not wait for it.
func (d *daemon) startHTTP(context.Context) error {
	h := d.c.Host.HTTP
	if h.Listen == "" {
		return nil
	}
	if len(d.beats) > 0 {
		d.parts.start("call-ins", d.spread)
	}
	d.parts.start("http", func(ctx context.Context) error {
		for pause := time.Second; ; pause = min(2*pause, time.Minute) {
			err := d.serveHTTP(ctx)
			if ctx.Err() != nil {
				return nil
			}
			d.o.Log.Error().Err(err).Dur("again_in_ms", pause).Msg("metrics and health are not served")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
		}
	})
	return nil
}

// serveHTTP serves until ctx ends or something fails.
func (d *daemon) serveHTTP(ctx context.Context) error {
	h := d.c.Host.HTTP
	token, err := tokenFrom("host.http", h.TokenFile, h.TokenEnv)
	if err != nil {
		return err
	}
	l := d.web // only this goroutine takes it
	if d.web = nil; l == nil {
		if l, err = net.Listen("tcp", h.Listen); err != nil {
			return fmt.Errorf("host.http.listen: %w", err)
		}
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && (h.CertFile == "" || token == "") {
		return errors.Join(fmt.Errorf("host.http.listen: %s is %s here, which is no loopback address: expected 127.0.0.1, or cert_file, key_file and a token", h.Listen, a.IP), l.Close())
	}
	address := l.Addr().String()
	l = newSeats(l, httpConnections)
	if h.CertFile != "" {
		cert := &pairFile{cert: h.CertFile, key: h.KeyFile}
		if _, err := cert.get(nil); err != nil {
			return errors.Join(err, l.Close())
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get, NextProtos: []string{"http/1.1"}})
	}
	s := &http.Server{
		Handler: d.outsideHandler(token), ErrorLog: stdlog.New(quietly{d.o.Log}, "", 0),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: httpTimeout, WriteTimeout: 2 * httpTimeout, IdleTimeout: 2 * httpTimeout, MaxHeaderBytes: 16 << 10,
	}
	if h.PProf {
		s.WriteTimeout += profileMost
	}
	d.o.Log.Info().Str("address", address).Bool("tls", h.CertFile != "").Bool("token", token != "").Msg("serving metrics and health")
	if d.o.Hooks.HTTP != nil {
		d.o.Hooks.HTTP(address)
	}
	return serveUntil(ctx, s, l)
}

// quietly takes what net/http says of strangers' connections.
type quietly struct{ log zerolog.Logger }

func (q quietly) Write(line []byte) (int, error) {
	q.log.Debug().Str("part", "http").Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

// serveUntil serves until ctx ends, and then gives what runs a second.
func serveUntil(ctx context.Context, s *http.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close() // requests that are still running are cut off
	}
	<-served
	return nil
}

// guarded lets in who carries the token that was read last.
func (d *daemon) guarded(token string, next http.Handler) http.Handler {
	d.token.Store(&token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokenOnly(*d.token.Load(), next).ServeHTTP(w, r)
	})
}

// tokenOnly lets only those in who carry the token; empty: everybody.
func tokenOnly(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !bears(r, token) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="veer"`)
			w.Header().Set("Connection", "close") // whoever has no token keeps no seat
			http.Error(w, "a token is needed: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// outsideHandler is all that the listener serves: what is called in has tokens of
// its own.
func (d *daemon) outsideHandler(token string) http.Handler {
	mux := http.NewServeMux()
	d.routeCalls(mux)
	mux.Handle("/", d.guarded(token, d.httpHandler()))
	return mux
}

func (d *daemon) httpHandler() http.Handler {
	mux := http.NewServeMux()
	if d.c.Host.HTTP.PProf {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index) // serves each profile by its name
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.Handle("GET /metrics", d.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plainly(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if not := d.notReady(r.Context()); len(not) > 0 {
			plainly(w, http.StatusServiceUnavailable, strings.Join(not, "\n"))
			return
		}
		plainly(w, http.StatusOK, "ready")
	})
	return mux
}

func plainly(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // that the other side is gone is no error here
}

// notReady says, role by role, what this process cannot do yet or any more. An
// authority needs no etcd to answer.
func (d *daemon) notReady(ctx context.Context) []string {
	var out []string
	for _, s := range d.servers { // complete before this listens
		if s.Addrs() == nil {
			out = append(out, "authority: "+s.name+" does not listen")
		}
	}
	if !d.roles[RoleProber] && !d.roles[RoleController] {
		return out
	}
	reached := d.etcdAnswers(ctx)
	if d.roles[RoleProber] && (d.prober.Load() == nil || !reached) && len(d.servers) == 0 {
		out = append(out, "prober: it cannot vote, since etcd does not answer")
	}
	if d.roles[RoleController] && (d.controller.Load() == nil || !reached) && len(d.servers) == 0 {
		out = append(out, "controller: it cannot lead, since etcd does not answer")
	}
	return out
}

// etcdAnswers reports whether etcd answers, with a quorum behind it.
func (d *daemon) etcdAnswers(ctx context.Context) bool {
	cl := d.cluster.Load()
	if cl == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	_, _, err := cl.Leader(ctx)
	return err == nil
}

// pairFile is a certificate in files, which are read anew when they change.
type pairFile struct {
	cert, key string

	mu   sync.Mutex
	was  [2]time.Time
	pair *tls.Certificate
}

// get is for tls.Config. A change that cannot be read keeps what was.
func (p *pairFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var now [2]time.Time
	for i, file := range []string{p.cert, p.key} {
		if info, err := os.Stat(file); err == nil {
			now[i] = info.ModTime()
		}
	}
	if p.pair != nil && now == p.was {
		return p.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	switch {
	case err == nil:
		p.pair, p.was = &pair, now
	case p.pair == nil:
		return nil, fmt.Errorf("host.http.cert_file: %w", err)
	}
	return p.pair, nil
}

// seats is a listener that holds so many connections at most.
type seats struct {
	net.Listener
	free chan struct{}
}

func newSeats(l net.Listener, n int) net.Listener { return seats{l, make(chan struct{}, n)} }

// Accept refuses whom there is no seat for.
func (s seats) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case s.free <- struct{}{}:
			return &seated{Conn: c, leave: sync.OnceFunc(func() { <-s.free })}, nil
		default:
			_ = c.Close() // it is refused
		}
	}
}

type seated struct {
	net.Conn
	leave func()
}

func (s *seated) Close() error {
	defer s.leave()
	return s.Conn.Close()
}
