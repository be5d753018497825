package config

import (
	"net"
	"strconv"
)

// HTTP is this host's listener for metrics and health. Without Listen there is
// none.
type HTTP struct {
	// Listen is ADDRESS:PORT. Beyond loopback it needs TLS and a token.
	Listen   string `yaml:"listen"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// TokenFile or TokenEnv is where the token stands that each request must
	// carry.
	TokenFile string `yaml:"token_file"`
	TokenEnv  string `yaml:"token_env"`
	// PProf serves Go's profiles of the process at /debug/pprof/.
	PProf bool `yaml:"pprof"`
}

// http checks the listener as a whole.
func (l *loader) http() {
	h := l.c.Host.HTTP
	if h == (HTTP{}) {
		return
	}
	host, port, err := net.SplitHostPort(h.Listen)
	ip := net.ParseIP(host)
	n, bad := strconv.ParseUint(port, 10, 16)
	switch {
	case h.Listen == "":
		l.bad("host.http", "listen is missing", "the address to listen on, e.g. 127.0.0.1:9153", "")
		return
	case err != nil || bad != nil || n > 0 && port[0] == '0' || ip == nil && host != "localhost":
		l.bad("host.http.listen", "found "+quote(h.Listen), "an IP address, or localhost, and a port, e.g. 127.0.0.1:9153 or [::1]:9153", "")
		return
	}
	if (h.CertFile == "") != (h.KeyFile == "") {
		l.bad("host.http", "cert_file and key_file are not both set", "both or none", "")
	}
	token := h.TokenFile != "" || h.TokenEnv != ""
	if h.TokenFile != "" && h.TokenEnv != "" {
		l.bad("host.http.token_env", "token_file and token_env are both set", "one of them", "")
	}
	if host != "localhost" && !ip.IsLoopback() && (h.CertFile == "" || !token) {
		l.bad("host.http.listen", quote(h.Listen)+" is not a loopback address", "with it cert_file, key_file, and token_file or token_env: what is told there is for those who hold the token", "listen on 127.0.0.1, or give them")
	}
}
