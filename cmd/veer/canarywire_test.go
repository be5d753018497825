package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// smtp takes mail from who logs in by CRAM-MD5 (RFC 2195).
func (a *aviary) smtp(name string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		say := func(text string) { fmt.Fprint(c, text+"\r\n") }
		say("220 test ESMTP")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch strings.ToUpper(verb) {
			case "EHLO":
				say("250-test\r\n250 AUTH CRAM-MD5")
			case "AUTH":
				say("334 " + base64.StdEncoding.EncodeToString([]byte("<1@test>")))
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
				if a.refuses.Load() {
					say("535 5.7.8 " + a.word(name) + " " + all(a.secrets[name]))
					continue
				}
				say("235 ok")
			case "DATA":
				say("354 go ahead")
				for line := ""; line != ".\r\n" && err == nil; line, err = r.ReadString('\n') {
					a.take(name, strings.TrimSuffix(line, "\n"))
				}
				say("250 taken")
			case "QUIT":
				say("221 bye")
				return
			default:
				say("250 ok")
			}
		}
	}
}

// postgres refuses every login (https://www.postgresql.org/docs/current/protocol-message-formats.html).
func (a *aviary) postgres(name string) func(net.Conn) {
	return func(c net.Conn) {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])-4)); err != nil {
			return
		}
		body := "SFATAL\x00VFATAL\x00C28P01\x00M" + a.word(name) + " " + all(a.secrets[name]) + "\x00\x00"
		_, _ = c.Write(append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(body)+4)), body...))
	}
}

// mysql refuses every connection (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html).
func (a *aviary) mysql(name string) func(net.Conn) {
	return func(c net.Conn) {
		body := "\xff\x15\x04" + a.word(name) + " " + all(a.secrets[name]) // 1045
		_, _ = c.Write(append([]byte{byte(len(body)), byte(len(body) >> 8), 0, 0}, body...))
	}
}

// names is a DNS server that refuses, with the secret beside.
func (a *aviary) names() string {
	listeners, port := a.listen("127.0.0.1")
	packets, err := net.ListenPacket("udp", "127.0.0.1:"+port)
	if err != nil {
		a.t.Fatal(err)
	}
	refuse := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetRcode(r, dns.RcodeRefused)
		m.SetEdns0(1232, false)
		for _, name := range []string{"tsig-file", "tsig-env"} {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeProhibited, ExtraText: all(a.secrets[name])})
		}
		_ = w.WriteMsg(m)
	})
	servers := []*dns.Server{{Listener: listeners[0], Handler: refuse}, {PacketConn: packets, Handler: refuse}}
	var wg sync.WaitGroup
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-started
	}
	a.t.Cleanup(func() {
		for _, s := range servers {
			_ = s.Shutdown()
		}
		wg.Wait()
	})
	return port
}

// syslog takes lines over TLS from who has a certificate (RFC 5425).
func (a *aviary) syslog(cert, key string) string {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.talk(func(c net.Conn) {
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12})
		r := bufio.NewReader(secure)
		for {
			count, err := r.ReadString(' ')
			if err != nil {
				return
			}
			n, err := strconv.Atoi(strings.TrimSpace(count))
			if err != nil {
				return
			}
			line := make([]byte, n)
			if _, err := io.ReadFull(r, line); err != nil {
				return
			}
			a.take("syslog", string(line))
		}
	}, addresses...)
}
