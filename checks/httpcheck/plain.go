package httpcheck

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// plain speaks HTTP/1.1 over one connection, one request after the other, in
// the goroutine that asks (RFC 9112). net/http reads and writes the messages;
// its client, with two goroutines and its own pool for each connection, is not
// needed for a request that nothing shares.
type plain struct {
	conn  net.Conn
	in    *bufio.Reader // of the Prober's pool, while a request is under way
	head  int           // how many bytes of heads may still come; below 0: any
	first time.Time     // when the first byte of the answer came
}

// errHead means that the answer's head does not end.
var errHead = fmt.Errorf("the head of the answer has more than %d bytes", maxHead)

// maxInformal bounds the interim answers, 1xx, that come before the final one
// (RFC 9110 section 15.2), as net/http does.
const maxInformal = 5

// buffers are what requests under way need.
type buffers struct{ in, out sync.Pool }

// roundTrip sends req and reads the head of its answer.
func (c *plain) roundTrip(p *Prober, req *http.Request) (*http.Response, error) {
	c.first = time.Time{}
	sent := c.send(p, req)
	if c.in, _ = p.buffers.in.Get().(*bufio.Reader); c.in == nil {
		c.in = bufio.NewReader(c)
	} else {
		c.in.Reset(c)
	}
	c.head = maxHead
	defer func() { c.head = -1 }()
	for range maxInformal + 1 {
		resp, err := http.ReadResponse(c.in, req)
		switch {
		case errors.Is(err, errHead):
			return nil, errHead
		case err != nil && c.first.IsZero() && sent != nil:
			return nil, sent // an answer to what could not be sent whole counts more
		case err != nil:
			return nil, err
		case resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
	}
	return nil, fmt.Errorf("more than %d interim answers came before the final one", maxInformal)
}

func (c *plain) send(p *Prober, req *http.Request) error {
	out, _ := p.buffers.out.Get().(*bytes.Buffer)
	if out == nil {
		out = new(bytes.Buffer)
	}
	defer p.buffers.out.Put(out)
	out.Reset()
	if err := req.Write(out); err != nil {
		return err
	}
	_, err := c.conn.Write(out.Bytes())
	return err
}

// Read reads for in, and keeps heads within their bound.
func (c *plain) Read(b []byte) (int, error) {
	if c.head == 0 {
		return 0, errHead
	}
	if c.head > 0 && len(b) > c.head {
		b = b[:c.head]
	}
	n, err := c.conn.Read(b)
	if n > 0 && c.first.IsZero() {
		c.first = time.Now()
	}
	if c.head > 0 {
		c.head -= n
	}
	return n, err
}

// done gives the buffer back, and reports whether nothing came behind the
// answer, so that the connection can be kept.
func (c *plain) done(p *Prober) bool {
	if c.in == nil {
		return false
	}
	clean := c.in.Buffered() == 0
	p.buffers.in.Put(c.in)
	c.in = nil
	return clean
}
