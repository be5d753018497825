package notify

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"mime"
	"net"
	"net/http/httptest"
	"net/mail"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
)

// smtpServer speaks as much SMTP as mail needs (RFC 5321), with STARTTLS
// (RFC 3207) or TLS from the start, and a login (RFC 4954).
type smtpServer struct {
	t        *testing.T
	address  string
	tls      *tls.Config
	implicit bool
	reject   map[string]string // a verb's answer

	mu    sync.Mutex
	mails []string
	user  string
	plain bool // something came in the clear that must not
}

const mailPassword = "canary-5d1b-pass"

func startSMTP(t *testing.T, s *smtpServer) string {
	t.Helper()
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	s.t, s.tls = t, &tls.Config{Certificates: cert.TLS.Certificates}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw})))
}

func (s *smtpServer) serve(c net.Conn) {
	defer c.Close() //nolint:errcheck // the client is gone
	secure := s.implicit
	if secure {
		c = tls.Server(c, s.tls)
	}
	r := bufio.NewReader(c)
	say := func(format string, args ...any) { fmt.Fprintf(c, format+"\r\n", args...) }
	say("220 test ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		s.mu.Lock()
		s.plain = s.plain || !secure && (verb == "AUTH" || verb == "MAIL")
		s.mu.Unlock()
		if answer, ok := s.reject[verb]; ok {
			say("%s (%s)", answer, line) // it repeats what it was sent
			continue
		}
		switch verb {
		case "EHLO":
			if secure {
				say("250-test\r\n250 AUTH PLAIN LOGIN")
			} else {
				say("250-test\r\n250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go ahead")
			c = tls.Server(c, s.tls)
			r, secure = bufio.NewReader(c), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			parts := strings.Split(string(raw), "\x00")
			if len(parts) != 3 || parts[2] != mailPassword {
				say("535 5.7.8 bad login %s", rest)
				continue
			}
			s.user = parts[1]
			say("235 ok")
		case "DATA":
			say("354 go ahead")
			var b strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			s.mu.Lock()
			s.mails = append(s.mails, b.String())
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func mailConfig(t *testing.T, s *smtpServer, ca, password string) EmailConfig {
	return EmailConfig{
		Common: Common{CAFile: ca}, Server: s.address, Username: "veer", PasswordFile: file(t, password),
		From: "Veer <veer@example.org>", To: []string{"a@example.org", "B <b@example.org>"},
	}
}

// TestEmail: by STARTTLS and by TLS, never in the clear, one message for all.
func TestEmail(t *testing.T) {
	for _, mode := range []string{StartTLS, ImplicitTLS} {
		s := &smtpServer{implicit: mode == ImplicitTLS}
		ca := startSMTP(t, s)
		c := mailConfig(t, s, ca, mailPassword)
		c.TLS = mode
		m := someMessage()
		m.Summary = "ünicode: line\r\nBcc: x@example.org"
		if err := NewEmail(c).Send(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		s.mu.Lock()
		if len(s.mails) != 1 || s.plain || s.user != "veer" {
			t.Fatalf("%s: %d mails, in the clear %v, user %q", mode, len(s.mails), s.plain, s.user)
		}
		got, err := mail.ReadMessage(strings.NewReader(s.mails[0]))
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
		if err != nil || subject != "[veer lab] ünicode: line Bcc: x@example.org" || got.Header.Get("Bcc") != "" {
			t.Errorf("%s: subject %q, %v, header %v", mode, subject, err, got.Header)
		}
		if got.Header.Get("Message-ID") != "<m-1@example.org>" || got.Header.Get("Auto-Submitted") != "auto-generated" || got.Header.Get("References") == "" {
			t.Errorf("%s: header %v", mode, got.Header)
		}
	}
}

// TestEmailFails: what a server says is told by its code; a login that is
// refused is tried again, a mail that is refused is not.
func TestEmailFails(t *testing.T) {
	// The servers wait for the ends of their connections at the end, and one that
	// was left open would be closed when it is collected.
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for what, c := range map[string]struct {
		reject map[string]string
		final  bool
		text   string
	}{
		"no STARTTLS": {map[string]string{"EHLO": "250 nothing"}, false, ""},
		"no sender":   {map[string]string{"MAIL": "550 no"}, true, "550"},
		"no receiver": {map[string]string{"RCPT": "550 no"}, true, "550"},
		"later":       {map[string]string{"MAIL": "451 later"}, false, "451"},
		"no mail":     {map[string]string{"DATA": "554 no"}, true, "554"},
	} {
		s := &smtpServer{reject: c.reject}
		ca := startSMTP(t, s)
		f := failed(t, NewEmail(mailConfig(t, s, ca, mailPassword)).Send(t.Context(), someMessage()), mailPassword)
		if f.Final != c.final || !strings.Contains(f.Text, c.text) {
			t.Errorf("%s: %+v", what, f)
		}
		if len(s.mails) > 0 || s.plain {
			t.Errorf("%s: %d mails, in the clear %v", what, len(s.mails), s.plain)
		}
	}
	s := &smtpServer{}
	ca := startSMTP(t, s)
	if f := failed(t, NewEmail(mailConfig(t, s, ca, "canary-77aa-wrong")).Send(t.Context(), someMessage()), "canary-77aa-wrong", base64.StdEncoding.EncodeToString([]byte("\x00veer\x00canary-77aa-wrong"))); f.Final {
		t.Errorf("a wrong password: %+v", f)
	}
	if f := failed(t, NewEmail(mailConfig(t, s, "", mailPassword)).Send(t.Context(), someMessage()), mailPassword); !strings.Contains(f.Text, "signed by nobody") {
		t.Errorf("an unknown CA: %+v", f)
	}
}
