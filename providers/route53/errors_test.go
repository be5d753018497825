package route53_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

const change = "ChangeResourceRecordSets"

// TestErrors: each error of a write is told apart: what it is to the
// controller, how often the write was sent, what is said to do.
func TestErrors(t *testing.T) {
	type outcome struct {
		busy, conflict bool
		says           string
	}
	for _, test := range []struct {
		status        int
		code, message string
		want          outcome
	}{
		{400, "Throttling", "Rate exceeded", outcome{busy: true, says: "lower rate and burst"}},
		{400, "ThrottlingException", "Rate exceeded", outcome{busy: true, says: "rate limit"}},
		{400, "PriorRequestNotComplete", "The request was rejected because Route 53 was still processing a prior request.", outcome{busy: true, says: "asked to wait 8s"}},
		{400, "InvalidChangeBatch", "Tried to create resource record set [name='app.example.test.', type='A'] but it already exists", outcome{conflict: true, says: "already exists"}},
		{400, "InvalidChangeBatch", "RRSet of type CNAME is not permitted, Tried to delete resource record set [name='a.', type='A'] but the values provided do not match the current values", outcome{conflict: true, says: "do not match"}},
		{400, "InvalidChangeBatch", "RRSet of type CNAME with DNS name example.test. is not permitted at apex in zone example.test.", outcome{says: "takes no such records: RRSet of type CNAME"}},
		{400, "InvalidInput", "Invalid XML", outcome{says: "Invalid XML"}},
		{404, "NoSuchHostedZone", "No hosted zone found with ID: Z0WORLD", outcome{says: "no hosted zone Z0WORLD: correct the id of zone example.test."}},
		{403, "AccessDenied", "User is not authorized", outcome{says: "allow route53:ChangeResourceRecordSets on arn:aws:route53:::hostedzone/Z0WORLD, and where the policy has conditions"}},
		{403, "ExpiredToken", "The security token included in the request is expired", outcome{busy: true, says: "credentials have expired"}},
		{403, "SignatureDoesNotMatch", "The request signature we calculated does not match", outcome{says: "check the key"}},
		{403, "InvalidClientTokenId", "The security token included in the request is invalid.", outcome{says: "check the key"}},
		{418, "Strange", "What?", outcome{says: "Strange"}},
		{503, "ServiceUnavailable", "Try later", outcome{says: "ServiceUnavailable"}},
		{500, "InternalFailure", "Oops", outcome{says: "InternalFailure"}},
		{502, "", "<html>Bad gateway</html>", outcome{says: "502"}},
		{200, "", "no XML", outcome{says: "not the API's"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil)
			b.must(a("app", "192.0.2.1"))
			sent := b.server.Calls()[change]
			times := 1
			if test.code == "PriorRequestNotComplete" {
				times = 4 // after 0, 1, 2 and 4 s: it was not looked at
			}
			for range times {
				b.server.Fail(change, test.status, test.code, test.message)
			}
			err := b.apply(a("app", "192.0.2.2"))
			if err == nil {
				t.Fatalf("%s was taken for done", test.code)
			}
			if n := b.server.Calls()[change] - sent; n != times {
				t.Errorf("%s: the write was sent %d times, want %d", test.code, n, times)
			}
			var busy *providers.BusyError
			if got := errors.As(err, &busy); got != test.want.busy {
				t.Errorf("%s: busy %v: %v", test.code, got, err)
			}
			if got := errors.Is(err, providers.ErrConflict); got != test.want.conflict {
				t.Errorf("%s: conflict %v: %v", test.code, got, err)
			}
			if !strings.Contains(err.Error(), test.want.says) || !strings.Contains(err.Error(), zone) {
				t.Errorf("%s: %v; want %q and the zone in it", test.code, err, test.want.says)
			}
			if strings.Contains(err.Error(), route53test.SecretKey) {
				t.Errorf("%s: the secret is in %v", test.code, err)
			}
			b.must(a("app", "192.0.2.3")) // and it goes on
		})
	}
}

// TestUncertain: where a reply is lost or cannot be read after the write was
// done, the fence tells so, and one line of the log does.
func TestUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, nil)
		garble := &garbler{next: server}
		var log bytes.Buffer
		p, err := route53.New(route53test.Config(t, zone), route53.Options{Owner: "shop", Transport: garble, Log: zerolog.New(&log)})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Prove(t.Context(), zone); err != nil {
			t.Fatal(err)
		}
		for i, body := range []string{"", "<html>", strings.Repeat("x", 17<<20), `<?xml version="1.0"?><ErrorResponse><Error><Code>InternalFailure</Code></Error></ErrorResponse>`} {
			from, err := p.Read(t.Context(), zone)
			if err != nil {
				t.Fatal(err)
			}
			log.Reset()
			garble.body, garble.status = &body, map[bool]int{true: 500, false: 200}[i == 3]
			next := providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: from.Fence.Write + 1}
			r, err := p.Apply(t.Context(), from, next, nil)
			if err != nil || r.Fence != next || r.Calls != 2 {
				t.Errorf("reply %.20q: receipt %+v, %v", body, r, err)
			}
			if lines := strings.Count(log.String(), "the reply was lost"); lines != 1 || strings.Count(log.String(), `"level":"warn"`) > 2 {
				t.Errorf("reply %.20q: the log says %s", body, log.String())
			}
		}
	})
}

// garbler replaces the reply to the next write.
type garbler struct {
	next   http.RoundTripper
	status int
	body   *string
}

func (g *garbler) RoundTrip(req *http.Request) (*http.Response, error) {
	reply, err := g.next.RoundTrip(req)
	if err == nil && g.body != nil && route53test.Writes(req) {
		reply.StatusCode, reply.Body = g.status, http.NoBody
		if *g.body != "" {
			reply.Body = readCloser{strings.NewReader(*g.body)}
		}
		g.body = nil
	}
	return reply, err
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// TestReadRetries: a read is sent again, within bounds, and what it says in the
// end is explained.
func TestReadRetries(t *testing.T) {
	const list = "ListResourceRecordSets"
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		for range 3 {
			b.server.Fail(list, 503, "ServiceUnavailable", "Try later")
		}
		b.server.Fail(list, 400, "Throttling", "Rate exceeded")
		b.read()
		if n := b.server.Calls()[list]; n != 4+3 {
			t.Errorf("a read that failed four times took %d requests, want 7", n)
		}
		for range 5 {
			b.server.Fail(list, 503, "ServiceUnavailable", "Try later")
		}
		start := time.Now()
		if _, err := b.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "ServiceUnavailable") || errors.Is(err, providers.ErrRejected) {
			t.Errorf("five failures: %v", err)
		}
		if took := time.Since(start); took > 100*time.Second {
			t.Errorf("a read gave up after %s", took)
		}
		b.server.Fail(list, 403, "AccessDenied", "no")
		if _, err := b.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "allow route53:ListResourceRecordSets on arn:aws:route53:::hostedzone/Z0WORLD; `veer iam-policy`") || !errors.Is(err, providers.ErrRejected) {
			t.Errorf("a denied read: %v", err)
		}
	})
}

// TestWritesOnce: whatever the environment has the SDK do, a write that was not
// answered is not sent again.
func TestWritesOnce(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "7")
	t.Setenv("AWS_RETRY_MODE", "adaptive")
	server := newServer(t, nil)
	sent := 0
	wire := providertest.NewWire(server, route53test.Writes)
	count := roundTripper(func(req *http.Request) (*http.Response, error) {
		if route53test.Writes(req) {
			sent++
		}
		return wire.RoundTrip(req)
	})
	p := route53test.Provider(t, route53test.Config(t, zone), "shop", count)
	if err := p.Prove(t.Context(), zone); err != nil {
		t.Fatal(err)
	}
	from, err := p.Read(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	sent = 0
	wire.LoseRequest()
	if _, err := p.Apply(context.Background(), from, providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 1}, nil); err == nil {
		t.Error("a lost request was taken for done")
	}
	wire.Answer(http.StatusServiceUnavailable, nil, "")
	if _, err := p.Apply(context.Background(), from, providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 2}, nil); err == nil {
		t.Error("a failed request was taken for done")
	}
	if sent != 2 {
		t.Errorf("two writes were sent %d times", sent)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
