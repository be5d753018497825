package httpcheck

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/dial"
)

// place is where a connection leads.
type place struct {
	scheme string
	target checks.Target
	port   uint16
	server string // the name verified over TLS
}

// request is one request to send: where, and what for.
type request struct {
	place
	method string
	url    *url.URL // scheme, host (the address) and path
	host   string   // the Host header
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// authority writes host and port as in a URL: brackets around IPv6, no
// default port, no zone.
func authority(scheme, host string, port uint16) string {
	host, _, _ = strings.Cut(host, "%")
	if port != defaultPort(scheme) {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// first is the request that the config describes, to the target.
func (p *Prober) first(t checks.Target) *request {
	port := t.Port
	if port == 0 {
		port = defaultPort(p.c.Scheme)
	}
	u := *p.path
	u.Scheme, u.Host = p.c.Scheme, authority(p.c.Scheme, t.Host, port)
	r := &request{method: p.c.Method, url: &u, host: u.Host}
	r.place = place{scheme: p.c.Scheme, target: t, port: port, server: t.Host}
	if p.c.Host != "" {
		r.host = p.c.Host
		r.server, _ = dial.HostName(p.c.Host) // Check has read it already.
	}
	if p.c.TLS.ServerName != "" {
		r.server = p.c.TLS.ServerName
	}
	return r
}

// describe is how reasons name the request.
func (r *request) describe(c Config) string {
	text := r.method + " " + r.url.String()
	if c.Host != "" {
		text += " (Host " + c.Host + ")"
	}
	return text
}

// redirect returns the request that an answer redirects to, or nil with the
// reason not to follow it.
func (p *Prober) redirect(from *request, got *answer) (next *request, why string) {
	if p.c.Redirects == 0 || !isRedirect(got.status) {
		return nil, ""
	}
	base := *from.url
	base.Host = from.host
	to, err := base.Parse(got.location)
	switch {
	case got.location == "":
		return nil, "a redirect without a Location"
	case err != nil || to.Hostname() == "" || to.User != nil:
		return nil, "a redirect to what is not a URL"
	case to.Scheme != from.scheme && to.Scheme != "https":
		return nil, "a redirect to " + strconv.Quote(to.Scheme) + ", which is not followed"
	case !p.stays(from, to):
		return nil, "a redirect to host " + strconv.Quote(to.Hostname()) + ", which is not this endpoint"
	}
	r := &request{place: from.place, method: redirectMethod(from.method, got.status), host: to.Host}
	r.scheme, r.port = to.Scheme, defaultPort(to.Scheme)
	if to.Scheme == from.scheme && strings.EqualFold(to.Host, from.host) {
		r.port = from.port // The Host header need not name the target's port.
	} else if to.Port() != "" {
		port, err := strconv.ParseUint(to.Port(), 10, 16)
		if err != nil || port == 0 {
			return nil, "a redirect to a port that does not exist"
		}
		r.port = uint16(port)
	}
	u := *to
	u.Fragment, u.Host = "", authority(r.scheme, from.target.Host, r.port)
	r.url = &u
	return r, ""
}

// stays reports whether to is at the endpoint that is probed.
func (p *Prober) stays(from *request, to *url.URL) bool {
	configured, _ := dial.HostName(p.c.Host) // "" where none is configured.
	return strings.EqualFold(to.Hostname(), from.target.Host) || strings.EqualFold(to.Hostname(), configured)
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirectMethod follows RFC 9110 sections 15.4.2 to 15.4.4.
func redirectMethod(method string, status int) string {
	switch {
	case method == http.MethodHead || status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect:
		return method
	case status == http.StatusSeeOther || method == http.MethodPost:
		return http.MethodGet
	}
	return method
}

// build makes the request. Check has refused what cannot be sent, and a redirect
// leads to what url.Parse took.
func (p *Prober) build(r *request, authorization string) *http.Request {
	header := make(http.Header, len(p.c.Headers)+2)
	header.Set("User-Agent", "veer")
	for name, value := range p.c.Headers {
		header.Set(name, value)
	}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	return &http.Request{
		Method: r.method, URL: r.url, Host: r.host, Header: header, Close: !p.c.KeepAlive,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}
