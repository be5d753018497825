package providertest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/veerdns/veer/providers/providertest"
)

// handler answers in process, without a socket.
type handler struct{ http.Handler }

func (h handler) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Result(), nil
}

// api keeps what was written, and refuses to write the same again.
type api struct{ written []string }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method == http.MethodPost && len(a.written) > 0 && a.written[len(a.written)-1] == string(body) {
		w.WriteHeader(http.StatusConflict)
		return
	}
	if r.Method == http.MethodPost {
		a.written = append(a.written, string(body))
	}
	_, _ = io.WriteString(w, strings.Join(a.written, ","))
}

func TestWire(t *testing.T) {
	type reply struct {
		status int
		body   string
	}
	for _, test := range []struct {
		name    string
		inject  func(*providertest.Wire)
		want    reply
		lost    bool
		written string
	}{
		{"no fault", func(*providertest.Wire) {}, reply{200, "x"}, false, "x"},
		{"a lost request", (*providertest.Wire).LoseRequest, reply{}, true, ""},
		{"a lost reply", (*providertest.Wire).LoseReply, reply{}, true, "x"},
		{"twice, the first reply", (*providertest.Wire).Duplicate, reply{200, "x"}, false, "x"},
		{"twice, the second reply", (*providertest.Wire).DuplicateSecond, reply{409, ""}, false, "x"},
		{"an answer from between", func(w *providertest.Wire) { w.Answer(429, http.Header{"Retry-After": {"3"}}, "slow down") }, reply{429, "slow down"}, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &api{}
			w := providertest.NewWire(handler{a}, func(r *http.Request) bool { return r.Method == http.MethodPost })
			test.inject(w)
			send := func(method, body string) (reply, error) {
				req, err := http.NewRequestWithContext(t.Context(), method, "http://api.invalid/", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				res, err := w.RoundTrip(req)
				if err != nil {
					return reply{}, err
				}
				got, err := io.ReadAll(res.Body)
				return reply{res.StatusCode, string(got)}, errors.Join(err, res.Body.Close())
			}
			if _, err := send(http.MethodGet, ""); err != nil {
				t.Fatalf("a read suffered: %v", err)
			}
			got, err := send(http.MethodPost, "x")
			if errors.Is(err, providertest.ErrLost) != test.lost || !test.lost && err != nil || got != test.want {
				t.Errorf("got %v, %v; want %v, lost %v", got, err, test.want, test.lost)
			}
			if written := strings.Join(a.written, ","); written != test.written {
				t.Errorf("the API has %q, want %q", written, test.written)
			}
			if got, err := send(http.MethodPost, "y"); err != nil || got.status != 200 {
				t.Errorf("the next write suffered as well: %v, %v", got, err)
			}
		})
	}
}

func TestWireHolds(t *testing.T) {
	a := &api{}
	w := providertest.NewWire(handler{a}, func(*http.Request) bool { return true })
	var seen int
	w.Done = func(r *http.Response) error {
		seen++
		if r.StatusCode != http.StatusOK {
			return errors.New("refused")
		}
		return nil
	}
	for range 2 {
		held := w.Hold()
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://api.invalid/", strings.NewReader("x"))
			if err == nil {
				_, err = w.RoundTrip(req) //nolint:bodyclose // there is no reply
			}
			end <- err
		}()
		<-held
		if len(a.written) != 0 {
			t.Fatal("the write arrived before it was let")
		}
		cancel()
		if err := <-end; !errors.Is(err, context.Canceled) || !errors.Is(err, providertest.ErrLost) {
			t.Fatalf("the client saw %v; want its context's end, and a loss", err)
		}
	}
	became := w.Deliver()
	if len(became) != 2 || became[0] != nil || became[1] == nil || seen != 2 {
		t.Fatalf("delivered: %v, looked at %d replies; want the first done, the second refused", became, seen)
	}
	if got := strings.Join(a.written, ","); got != "x" {
		t.Fatalf("the API has %q, want x", got)
	}
	if again := w.Deliver(); len(again) != 0 {
		t.Fatalf("delivered once more: %v", again)
	}
}
