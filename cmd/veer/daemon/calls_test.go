package daemon_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
)

const (
	beatToken  = "canary-beat-4b1c7b1d0e"
	alertToken = "canary-alerts-a04d8c11"
	hookSecret = "whsec_Y2FuYXJ5LWhvb2stMGJkNTFmMGEyYjNjNGQ="
)

// calledLab has monitors and hooks that are called in.
func calledLab(t *testing.T) *lab {
	l := newLab(t)
	for name, text := range map[string]string{"beat": beatToken, "alerts": alertToken, "secret": hookSecret} {
		l.write(name, text+"\n")
	}
	l.write("host.yaml", "http: {listen: \"127.0.0.1:0\"}\n")
	l.edit(patient()...)
	l.edit("regions: [eu-west, us-east, ap-south]\n", `regions: [eu-west, us-east, ap-south]
vantages: [eu-west, us-east, ap-south, ops, alerts]
hooks:
  ops: {kind: signed, act: vote, secret_file: secret, services: [app.example.test], silence: 10s}
  alerts:
    kind: alertmanager
    act: vote
    token_file: alerts
    silence: 10s
    rules:
      - {match: {alertname: InstanceDown}, service: app.example.test, address_label: instance}
  pager:
    kind: alertmanager
    act: drain
    token_file: alerts
    for: 10m
    rules:
      - {match: {alertname: InstanceDown}, service: app.example.test, address_label: instance}
`, "monitors:\n", "monitors:\n  beat: {kind: heartbeat, within: 5s, interval: 500ms, token_file: beat}\n",
		"services:\n", `services:
  - name: batch.example.test
    monitor: beat
    pools:
      - {region: eu-west, endpoints: [127.0.0.11]}
      - {region: us-east, endpoints: [127.0.0.12]}
    ttl: {min: 1s, max: 5s}
    failback: {mode: auto, hold: 1s}
`)
	return l
}

// call posts to a region's listener.
func (l *lab) call(region, path, body string, header ...string) (int, string) {
	l.t.Helper()
	l.until(region+" listens", func() bool { return l.listening(region) != "" })
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, "http://"+l.listening(region)+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, secret := range []string{beatToken, alertToken, hookSecret, "canary"} {
		if strings.Contains(string(text), secret) {
			l.t.Errorf("the reply tells a secret: %s", text)
		}
	}
	return resp.StatusCode, string(text)
}

func (l *lab) listening(region string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.listens[region]
}

// replies checks the status of a call and a part of its text.
func (l *lab) replies(code int, text, region, path, body string, header ...string) {
	l.t.Helper()
	if is, got := l.call(region, path, body, header...); is != code || !strings.Contains(got, text) {
		l.t.Errorf("POST %s %.60s: %d %s, expected %d with %q", path, body, is, got, code, text)
	}
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// signedBy makes the headers of a signed message.
func signedBy(id string, at int64, body string) []string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	if err != nil {
		panic(err)
	}
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%d.%s", id, at, body)
	return []string{"webhook-id", id, "webhook-timestamp", fmt.Sprint(at), "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))}
}

func notification(status, instance string) string {
	return fmt.Sprintf(`{"version": "4", "status": %q, "alerts": [{"status": %q, "labels": {"alertname": "InstanceDown", "instance": %q}, "annotations": {"summary": "gone: %s"}}]}`, status, status, instance, alertToken)
}

// batchIs reports whether a region's daemon has this verdict on an endpoint of batch.
func batchIs(st api.Status, address, health string) bool {
	for _, s := range st.Serves {
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				if s.Name == "batch.example.test." && e.Address == address {
					return e.Verdict.Health.String() == health
				}
			}
		}
	}
	return false
}

// TestCallsFromOutside: a call-in at one region counts at every vantage, and
// silence does; a hook votes as a vantage and drains, what comes again or from a
// stranger is refused, and property 4 holds.
func TestCallsFromOutside(t *testing.T) {
	t.Parallel() // it waits more than it works
	l := calledLab(t)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.start("ap-south", daemon.RoleProber)
	l.watch()
	l.answers("127.0.0.11")
	for _, v := range vantageNames { // who joins later hears what is called in from then on
		l.votes(regions.Name(v), "web@127.0.0.11", "up")
	}

	t.Log("heartbeats")
	const first, second = "/v1/heartbeat/beat/127.0.0.11", "/v1/heartbeat/beat/127.0.0.12"
	l.replies(http.StatusUnauthorized, "token is needed", "us-east", first, "")
	l.replies(http.StatusUnauthorized, "token is needed", "us-east", first, "", bearer(alertToken)...)
	l.replies(http.StatusNotFound, "no monitor", "us-east", "/v1/heartbeat/web/127.0.0.11", "", bearer(beatToken)...)
	l.replies(http.StatusNotFound, "no service", "us-east", "/v1/heartbeat/beat/127.0.0.13", "", bearer(beatToken)...)
	l.replies(http.StatusRequestEntityTooLarge, "more than", "us-east", first, strings.Repeat("canary", 1000), bearer(beatToken)...)
	l.replies(http.StatusBadRequest, "not whole JSON", "us-east", first, "canary", bearer(beatToken)...)
	l.replies(http.StatusAccepted, "taken", "us-east", first, "", bearer(beatToken)...)
	for _, v := range vantageNames {
		l.votes(regions.Name(v), "beat@127.0.0.11", "up")
	}
	l.replies(http.StatusAccepted, "taken", "ap-south", first, `{"health": "degraded", "why": "queue of `+beatToken+`"}`, bearer(beatToken)...)
	for _, v := range vantageNames {
		l.votes(regions.Name(v), "beat@127.0.0.11", "degraded")
	}
	beating := time.NewTicker(time.Second)
	defer beating.Stop()
	l.status("eu-west", func(st api.Status) bool { // the second goes on, the first is silent
		select {
		case <-beating.C:
			l.replies(http.StatusAccepted, "taken", "us-east", second, "", bearer(beatToken)...)
		case <-time.After(50 * time.Millisecond):
		}
		return batchIs(st, "127.0.0.11", "down") && batchIs(st, "127.0.0.12", "up")
	})

	t.Log("a signed hook votes")
	at := time.Now().Unix()
	const down = `{"type": "veer", "data": {"endpoints": [{"service": "app.example.test", "address": "127.0.0.11", "health": "down", "why": "no power"}]}}`
	message := signedBy("m1", at, down)
	l.replies(http.StatusUnauthorized, "no signature", "us-east", "/v1/hooks/ops", down+" ", message...)
	l.replies(http.StatusOK, "1 heeded", "us-east", "/v1/hooks/ops", down, message...)
	l.votes("ops", "web@127.0.0.11", "down")
	l.replies(http.StatusConflict, "taken before", "us-east", "/v1/hooks/ops", down, message...)
	l.replies(http.StatusConflict, "taken before", "ap-south", "/v1/hooks/ops", down, signedBy("m0", at-1, down)...)
	const odd = `{"data": {"endpoints": [{"service": "batch.example.test", "health": "down"}]}}`
	l.replies(http.StatusOK, "0 heeded, 1 that", "ap-south", "/v1/hooks/ops", odd, signedBy("m2", at, odd)...)
	l.replies(http.StatusNotFound, "no hook", "us-east", "/v1/hooks/other", "")

	t.Log("an Alertmanager votes")
	l.replies(http.StatusUnauthorized, "token is needed", "us-east", "/v1/hooks/alerts", notification("firing", "127.0.0.11:9100"), bearer(beatToken)...)
	l.replies(http.StatusBadRequest, "version", "us-east", "/v1/hooks/alerts", `{"version": "canary"}`, bearer(alertToken)...)
	l.replies(http.StatusOK, "1 heeded", "us-east", "/v1/hooks/alerts", notification("firing", "127.0.0.12:9100"), bearer(alertToken)...)
	l.votes("alerts", "web@127.0.0.12", "down")
	l.answers("127.0.0.11") // two of five vantages move nothing

	t.Log("an Alertmanager drains")
	l.replies(http.StatusOK, "1 heeded", "us-east", "/v1/hooks/pager", notification("firing", "http://127.0.0.11:9100/metrics"), bearer(alertToken)...)
	l.answers("127.0.0.12")
	st := l.status("eu-west", func(st api.Status) bool { return len(st.Orders) == 1 })
	if o := st.Orders[0]; o.By != "hook pager" || o.Why != "InstanceDown: gone: [secret]" || o.Until.IsZero() {
		t.Errorf("the order is %+v", o)
	}
	l.replies(http.StatusOK, "1 heeded", "us-east", "/v1/hooks/pager", notification("firing", "127.0.0.12"), bearer(alertToken)...)
	l.orders("us-east", 2)
	l.answers("127.0.0.13")
	l.replies(http.StatusConflict, "without an endpoint", "us-east", "/v1/hooks/pager", notification("firing", "127.0.0.13"), bearer(alertToken)...)
	l.replies(http.StatusOK, "0 heeded, 1 that", "us-east", "/v1/hooks/pager", notification("firing", "192.0.2.1"), bearer(alertToken)...)
	l.replies(http.StatusOK, "1 heeded", "us-east", "/v1/hooks/pager", notification("resolved", "127.0.0.12"), bearer(alertToken)...)
	l.replies(http.StatusOK, "1 heeded", "ap-south", "/v1/hooks/pager", notification("resolved", "http://127.0.0.11:9100/metrics"), bearer(alertToken)...)
	l.orders("us-east", 0)
	l.answers("127.0.0.11")

	w := web{t: t, base: "http://" + l.listening("us-east"), client: http.DefaultClient}
	w.until(`veer_calls_total{kind="heartbeat",name="beat",outcome="refused"} 2`, `veer_calls_total{kind="hook",name="ops",outcome="replayed"} 1`,
		`veer_calls_total{kind="hook",name="OTHER",outcome="unknown"} 1`, `veer_calls_total{kind="hook",name="pager",outcome="not_done"} 1`)
	if code, _ := w.get("/debug/pprof/", ""); code != http.StatusNotFound {
		t.Errorf("profiles are served unasked: %d", code)
	}
	if code, _ := w.get("/v1/hooks/pager", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("a hook takes GET: %d", code)
	}
}

// TestNothingIsTakenUnasked: without monitors and hooks of that kind there is
// nothing to call; with pprof there are profiles, for who has the token.
func TestNothingIsTakenUnasked(t *testing.T) {
	l := newLab(t)
	l.write("token", scrapeToken)
	l.write("host.yaml", "http: {listen: \"127.0.0.1:0\", token_file: token, pprof: true}\n")
	l.start("eu-west")
	for _, path := range []string{"/v1/heartbeat/web/127.0.0.11", "/v1/hooks/pager"} {
		l.replies(http.StatusUnauthorized, "a token is needed", "eu-west", path, "")
		l.replies(http.StatusNotFound, "", "eu-west", path, "", bearer(scrapeToken)...)
	}
	w := web{t: t, base: "http://" + l.listening("eu-west"), client: http.DefaultClient}
	for path, want := range map[string]string{"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": ""} {
		if code, text := w.get(path, ""); code != http.StatusUnauthorized || strings.Contains(text, "goroutine") {
			t.Errorf("%s without a token: %d", path, code)
		}
		if code, text := w.get(path, scrapeToken); code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d", path, code)
		}
	}
}
