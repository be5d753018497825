package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/veerdns/veer/cmd/internal/canary"
)

// aviary is a world of servers that repeat each secret that they are sent, or
// know, in whatever they refuse; beside it a word that is no secret, so that it
// is seen that what they say is told.
type aviary struct {
	t   *testing.T
	dir string
	// secrets and words are canaries: what must be found nowhere, and what must be.
	secrets, words map[string]string
	whole          map[string]string // the secrets as the places have them
	services       []string          // of the monitors
	refuses        atomic.Bool       // the receivers of notifications take none

	mu     sync.Mutex
	taken  map[string]*strings.Builder // by the receiver
	places map[string]string           // of the config's template
}

// addresses are where the endpoints are: each answers in a form of its own.
var addresses = []string{"127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24"}

// spelt are the forms in which a server repeats what it was sent.
var spelt = []func(string) string{
	func(s string) string { return s },
	func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u:" + s)) },
	func(s string) string { return hex.EncodeToString([]byte(s)) },
	url.QueryEscape,
}

// all is a secret in all the forms.
func all(secret string) string {
	var out []string
	for _, spell := range spelt {
		out = append(out, spell(secret))
	}
	return strings.Join(out, " ")
}

// secret makes one, for the config's place of this name. A name that ends in
// -env stands in the environment, and others in a file; format makes of it what
// the place needs.
func (a *aviary) secret(name, letters string, n int, format string) {
	text := canary.New(letters, n)
	a.secrets[name] = text
	a.put(name, fmt.Sprintf(format, text))
}

// key makes a secret that is bytes in base64.
func (a *aviary) key(name, format string) {
	a.secret(name, canary.Letters, 64, format)
	raw, err := base64.StdEncoding.DecodeString(a.secrets[name])
	if err != nil {
		a.t.Fatal(err)
	}
	a.secrets[name+", decoded"] = string(raw)
}

func (a *aviary) put(name, text string) {
	a.whole[name] = text
	if strings.HasSuffix(name, "-env") {
		variable := "CANARY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		a.t.Setenv(variable, text)
		a.places[name] = variable
		return
	}
	path := filepath.Join(a.dir, "secrets", name)
	write(a.t, path, text)
	a.places[name] = path
}

// word is the one that is no secret, of whoever repeats the secret.
func (a *aviary) word(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.words[name] == "" {
		a.words[name] = canary.New(canary.Letters, 20)
	}
	return a.words[name]
}

// take notes what somebody was told.
func (a *aviary) take(by, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[by] == nil {
		a.taken[by] = &strings.Builder{}
	}
	a.taken[by].WriteString(text + "\n")
}

// told is what the receivers were told so far.
func (a *aviary) told() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]string{}
	for by, b := range a.taken {
		out[by] = b.String()
	}
	return out
}

// listen listens on one port of all addresses.
func (a *aviary) listen(addresses ...string) (all []net.Listener, port string) {
	a.t.Helper()
	for range 50 {
		all, port = nil, "0"
		for _, address := range addresses {
			l, err := net.Listen("tcp", net.JoinHostPort(address, port))
			if err != nil {
				break
			}
			a.t.Cleanup(func() { _ = l.Close() })
			all = append(all, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		if len(all) == len(addresses) {
			return all, port
		}
	}
	a.t.Fatalf("no port is free on %v", addresses)
	return nil, ""
}

// serve runs an HTTP server, and returns its port.
func (a *aviary) serve(h http.HandlerFunc, addresses ...string) string {
	listeners, port := a.listen(addresses...)
	s := &http.Server{Handler: h}
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() { _ = s.Serve(l) })
	}
	a.t.Cleanup(func() { _ = s.Close(); wg.Wait() })
	return port
}

// talk runs a server of another protocol.
func (a *aviary) talk(speak func(net.Conn), addresses ...string) string {
	listeners, port := a.listen(addresses...)
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { speak(c); _ = c.Close() })
			}
		})
	}
	a.t.Cleanup(func() {
		for _, l := range listeners {
			_ = l.Close()
		}
		wg.Wait()
	})
	return port
}

// credential is what a request has of a secret.
func credential(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	if token := r.Header.Get("X-Amz-Security-Token"); token != "" {
		return token
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + r.Header.Get("X-Api-Key")
}

// first is the first part of a request's path: the name of the secret.
func first(r *http.Request) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return name
}

// expect fails the test if a server was not sent the secret that it repeats.
func (a *aviary) expect(name, got string) string {
	if got != a.secrets[name] {
		a.t.Errorf("%s: %q came in place of the secret", name, got)
	}
	return got
}

// endpoint is an HTTP server that is probed.
func (a *aviary) endpoint(w http.ResponseWriter, r *http.Request) {
	if name := first(r); name != "" {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		host, _, _ := net.SplitHostPort(local.String())
		fmt.Fprint(w, a.word(name)+" "+spelt[slices.Index(addresses, host)](a.expect(name, credential(r))))
	}
}

// prometheus refuses every query.
func (a *aviary) prometheus(w http.ResponseWriter, r *http.Request) {
	name := first(r)
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "bad_data", "error": a.word(name) + " " + all(a.expect(name, credential(r)))})
}

// vendor is the API of each provider that has one by HTTP, and STS.
func (a *aviary) vendor(w http.ResponseWriter, r *http.Request) {
	name := first(r)
	secret := credential(r)
	switch kind, _, _ := strings.Cut(name, "-"); kind {
	case "cloudflare":
		a.expect(name, secret)
		var errs []map[string]any
		for _, spell := range spelt {
			errs = append(errs, map[string]any{"code": 9109, "message": a.word(name) + " " + spell(secret)})
		}
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "errors": errs})
	case "powerdns":
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": a.word(name) + " " + all(a.expect(name, secret))})
	default: // Route 53 and STS
		if r.ParseForm() == nil && r.Form.Get("WebIdentityToken") != "" {
			secret = r.Form.Get("WebIdentityToken")
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type><Code>Refused</Code><Message>%s %s</Message></Error></ErrorResponse>`,
			a.word(name), all(a.expect(name, secret)))
	}
}

// receiver takes notifications by HTTP, or refuses them and repeats them.
func (a *aviary) receiver(w http.ResponseWriter, r *http.Request) {
	name, secret := first(r), strings.TrimPrefix(r.URL.Path, "/"+first(r)+"/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	text := string(body)
	if strings.HasPrefix(name, "pagerduty") {
		secret = a.secrets[name]
		if strings.Count(text, secret) != 1 {
			a.t.Errorf("%s: the key is not once in %s", name, text)
		}
		text = strings.Replace(text, secret, "THE-KEY", 1)
	}
	a.expect(name, secret)
	a.take(name, text)
	switch {
	case a.refuses.Load():
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "%s %s %s %s", a.word(name), all(secret), r.Header.Get("webhook-signature"), all(a.secrets[strings.Replace(name, "-url-", "-key-", 1)]))
	case strings.HasPrefix(name, "pagerduty"):
		w.WriteHeader(http.StatusAccepted)
	default:
		fmt.Fprint(w, "ok")
	}
}

// calls is a gRPC server that refuses every call, and an etcd that does.
func (a *aviary) calls() string {
	refuse := func(_ any, s grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(s)
		if strings.HasPrefix(method, "/etcdserverpb.Auth/") {
			var request emptypb.Empty // all of it is unknown
			if err := s.RecvMsg(&request); err != nil {
				return err
			}
			for _, name := range []string{"etcd-file", "etcd-env"} {
				if bytes.Contains(request.ProtoReflect().GetUnknown(), []byte(a.secrets[name])) {
					return status.Error(codes.InvalidArgument, a.word(name)+" "+all(a.secrets[name]))
				}
			}
			return errors.New("no password came")
		}
		md, _ := metadata.FromIncomingContext(s.Context())
		p, _ := peer.FromContext(s.Context())
		host, _, _ := net.SplitHostPort(p.LocalAddr.String())
		if len(md["x-name"]) != 1 || len(md["x-key"]) != 1 || len(md["authorization"]) != 1 {
			return status.Error(codes.Unavailable, "nobody")
		}
		name := md["x-name"][0]
		spell := spelt[slices.Index(addresses, host)]
		key, token := a.expect("grpc-key-"+name, md["x-key"][0]), a.expect("grpc-token-"+name, strings.TrimPrefix(md["authorization"][0], "Bearer "))
		return status.Error(codes.Unauthenticated, a.word("grpc-"+name)+" "+spell(key)+" "+spell(token))
	}
	listeners, port := a.listen(addresses...)
	s := grpc.NewServer(grpc.UnknownServiceHandler(refuse))
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() { _ = s.Serve(l) })
	}
	a.t.Cleanup(func() { s.Stop(); wg.Wait() })
	return port
}

func readable(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// noisy is a log that tells of what comes.
type noisy struct {
	mu   sync.Mutex
	b    bytes.Buffer
	news chan struct{}
}

func newNoisy() *noisy { return &noisy{news: make(chan struct{}, 1)} }

func (n *noisy) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.news <- struct{}{}:
	default:
	}
	return n.b.Write(p)
}

func (n *noisy) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}
