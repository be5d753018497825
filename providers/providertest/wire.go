package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
)

// maxBody bounds what a Wire keeps of one request or reply.
const maxBody = 16 << 20

// ErrLost is what a client sees of a request or reply that a Wire lost.
var ErrLost = errors.New("the connection was lost")

// Wire is the network between an HTTP client and an emulated API: an
// http.RoundTripper by which the next writes are lost, repeated or held up.
// Its methods that make faults do so for one write each, in the order in which
// they are called; requests that do not write pass. It is safe for concurrent
// use.
type Wire struct {
	// Done tells from a reply whether the API did what was asked: nil if so.
	// A nil Done takes each 2xx for done. It may read the body, not close it.
	Done func(*http.Response) error

	next    http.RoundTripper
	isWrite func(*http.Request) bool

	mu     sync.Mutex
	faults []fault
	late   []func() error
}

// fault carries one write its own way.
type fault func(w *Wire, req *http.Request, body []byte) (*http.Response, error)

// NewWire puts a Wire before next. isWrite says which requests write.
func NewWire(next http.RoundTripper, isWrite func(*http.Request) bool) *Wire {
	return &Wire{next: next, isWrite: isWrite}
}

// RoundTrip implements http.RoundTripper.
func (w *Wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if !w.isWrite(req) {
		return w.next.RoundTrip(req)
	}
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
	w.mu.Lock()
	carry := once
	if len(w.faults) > 0 {
		carry, w.faults = w.faults[0], w.faults[1:]
	}
	w.mu.Unlock()
	return carry(w, req, body)
}

func (w *Wire) inject(f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, f)
}

// send lets the request arrive, and reads the reply whole.
func (w *Wire) send(ctx context.Context, req *http.Request, body []byte) (*http.Response, error) {
	again := req.Clone(ctx)
	if req.Body != nil {
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	reply, err := w.next.RoundTrip(again)
	if err != nil {
		return nil, err
	}
	whole, err := io.ReadAll(io.LimitReader(reply.Body, maxBody))
	if err := errors.Join(err, reply.Body.Close()); err != nil {
		return nil, err
	}
	reply.Body = io.NopCloser(bytes.NewReader(whole))
	reply.Request = req
	return reply, nil
}

// once lets the request arrive once, and its reply return.
func once(w *Wire, req *http.Request, body []byte) (*http.Response, error) {
	return w.send(req.Context(), req, body)
}

// LoseRequest makes the next write never arrive.
func (w *Wire) LoseRequest() {
	w.inject(func(*Wire, *http.Request, []byte) (*http.Response, error) { return nil, ErrLost })
}

// LoseReply makes the next write arrive, and its reply not.
func (w *Wire) LoseReply() {
	w.inject(func(w *Wire, req *http.Request, body []byte) (*http.Response, error) {
		_, err := w.send(req.Context(), req, body)
		return nil, errors.Join(ErrLost, err)
	})
}

// Duplicate makes the next write arrive twice; the client sees the first
// reply.
func (w *Wire) Duplicate() { w.inject(twice(0)) }

// DuplicateSecond makes the next write arrive twice; the client sees the
// second reply.
func (w *Wire) DuplicateSecond() { w.inject(twice(1)) }

func twice(seen int) fault {
	return func(w *Wire, req *http.Request, body []byte) (*http.Response, error) {
		var replies [2]*http.Response
		var errs [2]error
		for i := range replies {
			replies[i], errs[i] = w.send(req.Context(), req, body)
		}
		return replies[seen], errs[seen]
	}
}

// Answer makes the next write not arrive and have this reply, as where a
// gateway in between throttles or fails.
func (w *Wire) Answer(status int, header http.Header, body string) {
	w.inject(func(_ *Wire, req *http.Request, _ []byte) (*http.Response, error) {
		header := header.Clone()
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{
			Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status, Header: header,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
		}, nil
	})
}

// Hold makes the next write be under way until Deliver; its reply never
// returns, and its client waits until the request's context ends. The channel
// is closed when the write is under way.
func (w *Wire) Hold() <-chan struct{} {
	held := make(chan struct{})
	w.inject(func(w *Wire, req *http.Request, body []byte) (*http.Response, error) {
		w.mu.Lock()
		w.late = append(w.late, func() error { return w.arrive(req, body) })
		w.mu.Unlock()
		close(held)
		<-req.Context().Done()
		return nil, errors.Join(ErrLost, req.Context().Err())
	})
	return held
}

// Deliver lets each write that is held up arrive, in order, and returns what
// became of each: nil for what was done.
func (w *Wire) Deliver() []error {
	w.mu.Lock()
	late := slices.Clone(w.late)
	w.late = nil
	w.mu.Unlock()
	results := make([]error, 0, len(late))
	for _, arrive := range late {
		results = append(results, arrive())
	}
	return results
}

func (w *Wire) arrive(req *http.Request, body []byte) error {
	reply, err := w.send(context.WithoutCancel(req.Context()), req, body)
	switch {
	case err != nil:
		return err
	case w.Done != nil:
		return w.Done(reply)
	case reply.StatusCode < 200 || reply.StatusCode > 299:
		return fmt.Errorf("the API replied %s", reply.Status)
	}
	return nil
}
