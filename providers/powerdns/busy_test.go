package powerdns

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// answering is a transport whose replies are all the same.
type answering struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

// A server that cannot tell its backend just now is asked again soon: nothing
// is rejected. What it says for good is.
func TestBackendIsAskedAgain(t *testing.T) {
	t.Setenv("VEER_TEST_KEY", "secret")
	for _, c := range []struct {
		reply answering
		busy  bool
		after time.Duration
	}{
		{answering{err: errors.New("connection reset")}, true, 0},
		{answering{status: 500, body: `{"error":"starting"}`}, true, 0},
		{answering{status: 502, body: `bad gateway`}, true, 0},
		{answering{status: 200, body: `{`}, true, 0},
		{answering{status: 429, header: http.Header{"Retry-After": {"7"}}}, true, 7 * time.Second},
		{answering{status: 429, header: http.Header{"Retry-After": {"65535"}}}, true, time.Hour},
		{answering{status: 401, body: `Unauthorized`}, false, 0},
		{answering{status: 200, body: `[{"name":"launch","value":"gmysql"}]`}, false, 0},
	} {
		p, err := New(Config{URL: "http://pdns.test", APIKeyEnv: "VEER_TEST_KEY", Zones: []Zone{{"example.test"}}}, Options{Owner: "shop", Transport: c.reply, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		var busy *providers.BusyError
		p.With(func(inner fenced.API) fenced.API { err = inner.(*api).checkBackend(t.Context()); return inner })
		if errors.As(err, &busy) != c.busy || errors.Is(err, fenced.ErrNothing) == c.busy || c.busy && busy.After != c.after {
			t.Errorf("%+v gives %v", c.reply, err)
		}
	}
}

// A gateway that shows the request's headers in its error brings the key into no
// error.
func TestErrorsHoldNoKey(t *testing.T) {
	t.Setenv("VEER_TEST_KEY", "s3cr3t-key")
	for _, reply := range []answering{
		{status: 502, body: "bad gateway; X-API-Key: s3cr3t-key"},
		{status: 422, body: `{"error":"` + strings.Repeat("x", 294) + `s3cr3t-key"}`},
	} {
		p, err := New(Config{URL: "http://pdns.test", APIKeyEnv: "VEER_TEST_KEY", Zones: []Zone{{"example.test"}}}, Options{Owner: "shop", Transport: reply, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = p.Read(t.Context(), "example.test."); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("got %v", err)
		}
	}
}
