package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// someMessage is one with something in each field.
func someMessage() Message {
	return Message{
		ID: "m-1", Event: Moved, Phase: Begin, Key: "moved/eu-west/s-1", Severity: Failing, Owner: "lab", Time: time.Now().UTC(),
		Summary: "eu-west: 2 services moved away (us-east 2)", Region: "eu-west", Services: []string{"a.example.test", "<b&>.example.test"}, Count: 2,
		Times: &Times{Began: time.Now().Add(-time.Minute), Moved: time.Now(), Recovery: 22 * time.Second, Limit: 90 * time.Second, Slowest: "a.example.test"},
		By:    "alice", Why: "because",
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// failed is the Failure of an error, in which no secret is, however written.
func failed(t *testing.T, err error, secrets ...string) *Failure {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v is no Failure", err)
	}
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)), hex.EncodeToString([]byte(s))} {
			if strings.Contains(err.Error(), form) {
				t.Errorf("the error holds a secret: %v", err)
			}
		}
	}
	return f
}

// echo answers with a status and all that it was sent.
func echo(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, r.URL, r.Header, string(body))
	}
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// verifyHook is a receiver as Standard Webhooks has it.
func verifyHook(r *http.Request, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	if age := time.Since(time.Unix(at, 0)).Abs(); err != nil || age > 5*time.Minute {
		return fmt.Errorf("timestamp of %s ago: %w", age, err)
	}
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%d.%s", r.Header.Get("webhook-id"), at, body)
	if want := "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil)); !hmac.Equal([]byte(want), []byte(r.Header.Get("webhook-signature"))) {
		return errors.New("the signature is wrong")
	}
	var got struct {
		Type      string
		Timestamp time.Time
		Data      Message
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	if err := dec.Decode(&got); err != nil {
		return err
	}
	if got.Type != "veer.moved.begin" || got.Timestamp.IsZero() || got.Data.Summary == "" || got.Data.ID != r.Header.Get("webhook-id") {
		return fmt.Errorf("a body of %+v", got)
	}
	return nil
}

// TestSignature is the example of the specification.
func TestSignature(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	if is := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); is != "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signed %s", is)
	}
}

func TestWebhook(t *testing.T) {
	var verdict error
	good := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		verdict = verifyHook(r, body)
		if verifyHook(r, append(body, ' ')) == nil {
			verdict = errors.New("the check passes whatever is signed")
		}
	}))
	defer good.Close()
	secretFile := file(t, hookSecret+"\n")
	if err := NewWebhook(WebhookConfig{URL: good.URL, SecretFile: secretFile}).Send(t.Context(), someMessage()); err != nil || verdict != nil {
		t.Errorf("sent: %v; received: %v", err, verdict)
	}
	for _, c := range []struct {
		status int
		final  bool
	}{{400, true}, {401, true}, {404, true}, {410, true}, {302, true}, {408, false}, {429, false}, {500, false}, {503, false}} {
		s := httptest.NewServer(echo(c.status, "Retry-After", "7", "Location", "http://127.0.0.1:1/elsewhere"))
		hidden := s.URL + "/canary-5d1b/hook?token=canary-77aa"
		err := NewWebhook(WebhookConfig{URLFile: file(t, hidden), SecretFile: secretFile}).Send(t.Context(), someMessage())
		f := failed(t, err, "canary-5d1b", "canary-77aa", strings.TrimPrefix(hookSecret, "whsec_"))
		if f.Final != c.final || !strings.Contains(f.Text, strconv.Itoa(c.status)) || f.After != 7*time.Second {
			t.Errorf("status %d: %+v", c.status, f)
		}
		s.Close()
		f = failed(t, NewWebhook(WebhookConfig{URLFile: file(t, hidden), SecretFile: secretFile}).Send(t.Context(), someMessage()), "canary-5d1b", "canary-77aa")
		if f.Final || !strings.Contains(f.Text, "refused") {
			t.Errorf("nobody listens: %+v", f)
		}
	}
	for what, c := range map[string]WebhookConfig{
		"no base64":  {URL: good.URL, SecretFile: file(t, "whsec_canary-5d1b!")},
		"too short":  {URL: good.URL, SecretFile: file(t, "whsec_Y2FuYXJ5LTVkMWI=")},
		"a bad URL":  {URLFile: file(t, "https://canary-5d1b@host/\x7f"), SecretFile: secretFile},
		"plain HTTP": {URLFile: file(t, "http://192.0.2.1/canary-5d1b"), SecretFile: secretFile},
		"no file":    {URL: good.URL, SecretFile: filepath.Join(t.TempDir(), "none")},
	} {
		if f := failed(t, NewWebhook(c).Send(t.Context(), someMessage()), "canary-5d1b", "Y2FuYXJ5LTVkMWI="); f.Final {
			t.Errorf("%s: final, and the file may be put right: %+v", what, f)
		}
	}
}

// TestTLSOfAReceiver: its certificate must be one that the system or ca_file
// vouches for, and an error tells no more than that.
func TestTLSOfAReceiver(t *testing.T) {
	s := httptest.NewTLSServer(echo(http.StatusOK))
	defer s.Close()
	c := WebhookConfig{URL: s.URL + "/canary-5d1b", SecretFile: file(t, hookSecret)}
	if f := failed(t, NewWebhook(c).Send(t.Context(), someMessage()), "canary-5d1b"); !strings.Contains(f.Text, "signed by nobody") {
		t.Errorf("an unknown CA: %+v", f)
	}
	c.CAFile = file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	if err := NewWebhook(c).Send(t.Context(), someMessage()); err != nil {
		t.Errorf("with ca_file: %v", err)
	}
}

// slackServer is as strict as Slack's page says.
func slackServer(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Text        string
		Attachments []struct{ Color, Text, Fallback, Footer string }
	}
	dec := json.NewDecoder(r.Body)
	switch {
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || dec.Decode(&body) != nil:
		http.Error(w, "invalid_payload", http.StatusBadRequest)
	case body.Text == "":
		http.Error(w, "no_text", http.StatusBadRequest)
	case r.URL.Path != "/services/T000/B000/canary-5d1b":
		http.Error(w, "no_service", http.StatusNotFound)
	case strings.Contains(body.Text+body.Attachments[0].Text, "<b"):
		http.Error(w, "invalid_payload", http.StatusBadRequest) // not escaped
	default:
		_, _ = io.WriteString(w, "ok")
	}
}

func TestSlack(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(slackServer))
	defer s.Close()
	path := "/services/T000/B000/canary-5d1b"
	if err := NewSlack(SlackConfig{URLFile: file(t, s.URL+path)}).Send(t.Context(), someMessage()); err != nil {
		t.Error(err)
	}
	f := failed(t, NewSlack(SlackConfig{URLFile: file(t, s.URL+"/services/canary-77aa")}).Send(t.Context(), someMessage()), "canary-77aa")
	if !f.Final || f.Text != "status 404: no_service" {
		t.Errorf("another URL: %+v", f)
	}
	for status, final := range map[int]bool{200: false, 400: true, 403: true, 410: true, 429: false, 500: false} {
		s := httptest.NewServer(echo(status, "Retry-After", "30"))
		f := failed(t, NewSlack(SlackConfig{URLFile: file(t, s.URL+path)}).Send(t.Context(), someMessage()), "canary-5d1b")
		s.Close()
		if f.Final != final || f.After != 30*time.Second {
			t.Errorf("status %d: %+v", status, f)
		}
	}
}

const pagerKeyText = "0123456789abcdefcanary5d1b0123ff"

// pagerServer is as strict as the API's page says, and repeats in its errors
// what it was sent.
func pagerServer(seen *[]pagerEvent) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(io.LimitReader(r.Body, 512<<10+1))
		var e pagerEvent
		err := json.Unmarshal(raw, &e)
		p := e.Payload
		switch {
		case len(raw) > 512<<10:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case err != nil || len(e.RoutingKey) != 32 || e.RoutingKey != pagerKeyText || len(e.DedupKey) > 255,
			e.Action != "trigger" && e.Action != "resolve", e.Action == "resolve" && e.DedupKey == "",
			e.Action == "trigger" && (p == nil || p.Summary == "" || len(p.Summary) > 1024 || p.Source == ""):
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"status":"invalid event","message":%q}`, raw)
		default:
			*seen = append(*seen, e)
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, `{"status":"success","message":"Event processed","dedup_key":%q}`, e.DedupKey)
		}
	}
}

func TestPagerDuty(t *testing.T) {
	var seen []pagerEvent
	s := httptest.NewServer(pagerServer(&seen))
	defer s.Close()
	p := NewPagerDuty(PagerDutyConfig{KeyFile: file(t, pagerKeyText), URL: s.URL + "/v2/enqueue"})
	m := someMessage()
	m.Summary = strings.Repeat("ä", 2000)
	end := someMessage()
	end.Phase, end.Severity = End, Info
	long := someMessage()
	long.Key = strings.Repeat("k", 400)
	for _, one := range []Message{m, end, long} {
		if err := p.Send(t.Context(), one); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != 3 || seen[0].Action != "trigger" || seen[0].Payload.Severity != "error" || seen[1].Action != "resolve" || seen[0].DedupKey != seen[1].DedupKey {
		t.Errorf("received %+v", seen)
	}
	other := strings.Repeat("canary77", 4)
	f := failed(t, NewPagerDuty(PagerDutyConfig{KeyFile: file(t, other), URL: s.URL}).Send(t.Context(), m), other)
	if !f.Final || !strings.Contains(f.Text, "400") {
		t.Errorf("another key: %+v", f)
	}
	if f := failed(t, NewPagerDuty(PagerDutyConfig{KeyFile: file(t, "canary"), URL: s.URL}).Send(t.Context(), m), "canary"); f.Final {
		t.Errorf("a short key: %+v", f)
	}
	for status, final := range map[int]bool{200: true, 403: true, 429: false, 500: false, 502: false} {
		s := httptest.NewServer(echo(status))
		if f := failed(t, NewPagerDuty(PagerDutyConfig{KeyFile: file(t, pagerKeyText), URL: s.URL}).Send(t.Context(), m), pagerKeyText); f.Final != final {
			t.Errorf("status %d: %+v", status, f)
		}
		s.Close()
	}
}

// TestSilentServer: a try ends when its time is over.
func TestSilentServer(t *testing.T) {
	held := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer s.Close()
	defer close(held)
	c := WebhookConfig{URL: s.URL + "/canary-5d1b", SecretFile: file(t, hookSecret)}
	c.Timeout = 50 * time.Millisecond
	if f := failed(t, NewWebhook(c).Send(context.Background(), someMessage()), "canary-5d1b"); f.Final || f.Text != "no answer in time" {
		t.Errorf("%+v", f)
	}
}
