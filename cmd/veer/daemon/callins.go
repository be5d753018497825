package daemon

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/hook"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
)

// errNotJoined means that nobody else can be told anything yet.
var errNotJoined = errors.New("the cluster is not joined")

// answer is a reply to a call from outside: an HTTP status, its text, and what is
// counted. The cause is told to the log, and to nobody else.
type answer struct {
	code    int
	outcome string
	text    string
	cause   error
}

func reject(code int, outcome, format string, args ...any) answer {
	return answer{code: code, outcome: outcome, text: fmt.Sprintf(format, args...)}
}

// routeCalls serves what is called in, as far as the config has any of it. Each
// has a secret of its own: who may call in may not read metrics, nor the other
// way round.
func (d *daemon) routeCalls(mux *http.ServeMux) {
	if len(d.beats) > 0 {
		mux.HandleFunc("/v1/heartbeat/{monitor}/{endpoint}", d.called(metrics.CallHeartbeat, "monitor", d.heartbeat))
	}
	if len(d.config().Hooks) > 0 {
		mux.HandleFunc("/v1/hooks/{hook}", d.called(metrics.CallHook, "hook", d.hooked))
	}
}

// called serves one kind of call, counts it, and logs it if it was not taken.
func (d *daemon) called(kind, path string, serve func(*http.Request, string) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue(path)
		a := reject(http.StatusMethodNotAllowed, metrics.CallBad, "expected POST")
		if r.Method == http.MethodPost {
			a = serve(r, name)
		}
		if !d.knows(kind, name) {
			name = metrics.CallOther
		}
		d.metrics.Called(kind, name, a.outcome)
		if a.code >= http.StatusMultipleChoices {
			w.Header().Set("Connection", "close") // whoever is refused keeps no seat
			d.refused(kind, name, a)
		}
		switch a.code {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Bearer realm="veer"`)
		case http.StatusMethodNotAllowed:
			w.Header().Set("Allow", http.MethodPost)
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "1")
		}
		plainly(w, a.code, a.text)
	}
}

// refused logs a call that was not taken, as often as a hook may speak and no
// oftener: anybody can call, and the log is not theirs to fill.
func (d *daemon) refused(kind, name string, a answer) {
	if !d.refusals.pass(kind+" "+name+" "+a.outcome, time.Now()) {
		return
	}
	level := zerolog.WarnLevel
	if a.cause != nil {
		level = zerolog.ErrorLevel
	}
	d.o.Log.WithLevel(level).Str("part", "http").Str("kind", kind).Str("name", name).Str("outcome", a.outcome).Int("status", a.code).
		Str("error", a.text).AnErr("cause", a.cause).Msg("a call was not taken")
}

// knows reports whether the config has a monitor or a hook of this name.
func (d *daemon) knows(kind, name string) bool {
	if kind == metrics.CallHook {
		_, ok := d.config().Hooks[name]
		return ok
	}
	return d.config().Monitors[name].Heartbeat != nil
}

// heartbeat takes a call-in of an endpoint.
func (d *daemon) heartbeat(r *http.Request, monitor string) answer {
	m := d.config().Monitors[monitor]
	if m.Heartbeat == nil {
		return reject(http.StatusNotFound, metrics.CallUnknown, "there is no monitor of kind heartbeat with this name")
	}
	token, err := tokenFrom("monitors."+monitor, m.Heartbeat.TokenFile, m.Heartbeat.TokenEnv)
	if err != nil {
		return broken(err)
	}
	if !bears(r, token) {
		return reject(http.StatusUnauthorized, metrics.CallRefused, "the monitor's token is needed: Authorization: Bearer TOKEN")
	}
	id := monitor + "@" + config.EndpointAddress(r.PathValue("endpoint"))
	if _, ok := d.beats[id]; !ok {
		return reject(http.StatusNotFound, metrics.CallUnknown, "no service has this endpoint with this monitor: expected an address as in the config")
	}
	body, bad := bodyOf(r, hook.MaxBeat, token)
	if bad.code != 0 {
		return bad
	}
	beat, err := hook.ParseBeat(body)
	if err != nil {
		return reject(http.StatusBadRequest, metrics.CallBad, `%v; expected no body, or {"health": "degraded", "why": "..."}`, err)
	}
	allowed, trouble := d.calls.take(cluster.Call{Endpoint: regions.EndpointID(id), Health: beat.Health, Why: beat.Why}, time.Now())
	switch {
	case !allowed:
		return reject(http.StatusTooManyRequests, metrics.CallLimited, "the endpoint calls in more than %.0f times a second", beatRate)
	case trouble != nil || d.cluster.Load() == nil:
		return reject(http.StatusServiceUnavailable, metrics.CallFailed, "other regions cannot be told from here now: call another region's listener")
	}
	return answer{code: http.StatusAccepted, outcome: metrics.CallTaken, text: "taken"}
}

// broken hides from the caller what is wrong with the config of this host.
func broken(err error) answer {
	return answer{http.StatusServiceUnavailable, metrics.CallFailed, "this host cannot read its own secret; its log says why", err}
}

// bodyOf reads a body up to a bound, in bytes, without the caller's token: a reason
// that repeats it is shown to many. The answer is of one that cannot be had.
func bodyOf(r *http.Request, most int, token string) ([]byte, answer) {
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, reject(http.StatusBadRequest, metrics.CallBad, "the body cannot be read whole")
	case len(body) > most:
		return nil, reject(http.StatusRequestEntityTooLarge, metrics.CallBad, "the body has more than %d bytes", most)
	}
	return []byte(checks.Redact(string(body), token)), answer{}
}

// bears reports whether a request carries the token; the time that it takes tells
// nothing of it.
func bears(r *http.Request, token string) bool {
	want := sha256.Sum256([]byte(token))
	given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	is := sha256.Sum256([]byte(given)) // of one length
	return subtle.ConstantTimeCompare(is[:], want[:]) == 1 && bearer
}

// tokenFrom reads a token, of which an error never tells; "" where there is no
// place for one. The path is that of the keys.
func tokenFrom(path, file, env string) (string, error) {
	token, err := secretFrom(path+".token", file, env)
	if err != nil || file == "" && env == "" {
		return "", err
	}
	if len(token) < tokenLeast || len(token) > tokenMost || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		place := path + ".token_file"
		if file == "" {
			place = path + ".token_env"
		}
		return "", fmt.Errorf("%s: the token has %d bytes: expected %d to %d letters, digits or signs, without spaces; `openssl rand -hex 32` makes one", place, len(token), tokenLeast, tokenMost)
	}
	return token, nil
}

// secretFrom reads what stands in a file or a variable.
func secretFrom(path, file, env string) (string, error) {
	if file == "" {
		return strings.TrimSpace(os.Getenv(env)), nil
	}
	text, err := readSecret(file)
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", path, err)
	}
	return strings.TrimSpace(text), nil
}

// readSecret reads a file, but not without end.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() // only read from
	text, err := io.ReadAll(io.LimitReader(f, 8<<10))
	return string(text), err
}
