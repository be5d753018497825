package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody bounds what a Wire keeps of one request or reply.
const maxBody = 16 << 20

// Wire is the network between an HTTP client and an emulated API: an
// http.RoundTripper with the faults of its Line.
type Wire struct {
	*Line
	// Done tells from a reply whether the API did what was asked: nil if so.
	// A nil Done takes each 2xx for done. It may read the body, not close it.
	Done func(*http.Response) error

	transport http.RoundTripper
}

// NewWire puts a Wire before next. isWrite says which requests write.
func NewWire(next http.RoundTripper, isWrite func(*http.Request) bool) *Wire {
	w := &Wire{Line: &Line{}}
	w.transport = transport{w.Line, next, isWrite, w.done}
	return w
}

// RoundTrip implements http.RoundTripper.
func (w *Wire) RoundTrip(req *http.Request) (*http.Response, error) {
	return w.transport.RoundTrip(req)
}

func (w *Wire) done(reply *http.Response) error {
	if w.Done != nil {
		return w.Done(reply)
	}
	return succeeded(reply)
}

func succeeded(reply *http.Response) error {
	if reply.StatusCode < 200 || reply.StatusCode > 299 {
		return fmt.Errorf("the API replied %d", reply.StatusCode)
	}
	return nil
}

// Answer makes the next write not arrive and have this reply, as where a
// gateway in between throttles or fails.
func (w *Wire) Answer(status int, header http.Header, body string) {
	AnswerHTTP(w.Line, status, header, body)
}

// AnswerHTTP is Answer for the Line of a Transport.
func AnswerHTTP(l *Line, status int, header http.Header, body string) {
	l.inject(func(context.Context, Request) (any, error) {
		header := header.Clone()
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{
			Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status, Header: header,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
		}, nil
	})
}

// Transport is next behind a Carrier. isWrite says which requests write.
func Transport(c Carrier, next http.RoundTripper, isWrite func(*http.Request) bool) http.RoundTripper {
	return transport{c, next, isWrite, succeeded}
}

type transport struct {
	carrier Carrier
	next    http.RoundTripper
	isWrite func(*http.Request) bool
	done    func(*http.Response) error
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(io.LimitReader(req.Body, maxBody+1))
		if err := errors.Join(err, req.Body.Close()); err != nil {
			return nil, err
		}
		if len(body) > maxBody {
			return nil, fmt.Errorf("a request of more than %d bytes", maxBody)
		}
	}
	reply, err := t.carrier.Carry(req.Context(), Request{
		Write: t.isWrite(req),
		Send:  func(ctx context.Context) (any, error) { return t.send(ctx, req, body) },
		Done:  func(reply any) error { return t.done(reply.(*http.Response)) },
	})
	if err != nil {
		return nil, err
	}
	res := reply.(*http.Response)
	res.Request = req
	return res, nil
}

// send lets the request arrive, and reads the reply whole.
func (t transport) send(ctx context.Context, req *http.Request, body []byte) (*http.Response, error) {
	again := req.Clone(ctx)
	if req.Body != nil {
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	reply, err := t.next.RoundTrip(again)
	if err != nil {
		return nil, err
	}
	whole, err := io.ReadAll(io.LimitReader(reply.Body, maxBody))
	if err := errors.Join(err, reply.Body.Close()); err != nil {
		return nil, err
	}
	reply.Body = io.NopCloser(bytes.NewReader(whole))
	return reply, nil
}
