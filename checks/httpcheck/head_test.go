package httpcheck

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// FuzzParseHead: what parseHead takes for a plain head, net/http reads alike.
func FuzzParseHead(f *testing.F) {
	for _, seed := range []string{
		"", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 200\r\nConnection: keep-alive\r\n\r\n",
		"HTTP/1.1 204 x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
		"HTTP/1.1 103 x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, bodyless bool) {
		method := "GET"
		if bodyless {
			method = "HEAD"
		}
		h, form := parseHead(b, method)
		if form != simple {
			return
		}
		in := bufio.NewReader(bytes.NewReader(b))
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: %+v, but net/http: %v", b, h, err)
		}
		if resp.StatusCode != h.status || resp.Proto != h.proto || resp.Close != h.close {
			t.Fatalf("%q: %+v, but net/http: %d %s, close %t", b, h, resp.StatusCode, resp.Proto, resp.Close)
		}
		body, err := io.ReadAll(resp.Body)
		want := b[h.size:]
		if h.length >= 0 && len(want) > h.length {
			want = want[:h.length]
		}
		if whole := h.length < 0 || len(want) == h.length; whole != (err == nil) || !bytes.Equal(body, want) {
			t.Fatalf("%q: %+v, but net/http reads the body %q, %v", b, h, body, err)
		}
	})
}
