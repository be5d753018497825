package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// Email sends mail by SMTP. A code of 5xx ends the tries, but for one of the
// login: a password may be put right (RFC 5321, section 4.2.1).
type Email struct{ c EmailConfig }

// NewEmail makes a sender of kind email.
func NewEmail(c EmailConfig) *Email { return &Email{c} }

// Send implements Sender.
func (e *Email) Send(ctx context.Context, m Message) error {
	msg, err := e.message(m)
	if err != nil {
		return failure(true, "making the mail failed: are from and to addresses?")
	}
	l := &line{}
	defer l.hangUp()
	client, err := e.client(l)
	if err != nil {
		return failure(false, "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.c.timeout())
	defer cancel()
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() { // else it failed in saying goodbye
		return nil
	}
	return smtpFailure(err)
}

// line is the connection of one mail. The library leaves it open when it gives
// up before the login is done: without STARTTLS, or with a wrong certificate.
type line struct {
	tls  *tls.Config // from the first byte on; nil: the library may begin it
	conn net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var err error
	if l.tls != nil {
		l.conn, err = (&tls.Dialer{Config: l.tls}).DialContext(ctx, network, address)
	} else {
		l.conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return l.conn, err
}

func (l *line) hangUp() {
	if l.conn != nil {
		_ = l.conn.Close() // mostly it is closed already
	}
}

func (e *Email) client(l *line) (*mail.Client, error) {
	host, text, err := net.SplitHostPort(e.c.Server)
	if err != nil {
		return nil, errors.New("server: expected HOST:PORT")
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, errors.New("server: expected a port number")
	}
	conf, err := tlsConfig(e.c.CAFile)
	if err != nil {
		return nil, err
	}
	conf.ServerName = host
	opts := []mail.Option{mail.WithPort(port), mail.WithTimeout(e.c.timeout()), mail.WithTLSConfig(conf), mail.WithHELO("veer.localdomain"), mail.WithDialContextFunc(l.dial)}
	switch e.c.TLS {
	case ImplicitTLS:
		// The library asks the connection that it gets whether it is encrypted, and
		// finds no STARTTLS within TLS (RFC 3207, section 4.2).
		l.tls = conf
		opts = append(opts, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case NoTLS:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if e.c.Username != "" {
		password, err := secret("password", e.c.PasswordFile, e.c.PasswordEnv)
		if err != nil {
			return nil, err
		}
		opts = append(opts, mail.WithUsername(e.c.Username), mail.WithPassword(password), mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover))
	}
	client, err := mail.NewClient(host, opts...)
	if err != nil {
		return nil, errors.New("server, or the login, is not usable")
	}
	return client, nil
}

func (e *Email) message(m Message) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(e.c.From); err != nil {
		return nil, err
	}
	if err := msg.To(e.c.To...); err != nil {
		return nil, err
	}
	msg.Subject("[veer " + m.Owner + "] " + cut(m.Summary, maxSummary))
	msg.SetDateWithValue(m.Time)
	// The same at each try, so that a mailbox can tell a repetition.
	host := e.c.From[strings.LastIndex(e.c.From, "@")+1:]
	msg.SetMessageIDWithValue(m.ID + "@" + strings.Trim(host, " >"))
	// The mails of one story are one thread (RFC 5322, section 3.6.4).
	thread := "<" + strings.Map(atom, m.Key) + "." + m.Owner + "@" + strings.Trim(host, " >") + ">"
	msg.SetGenHeader(mail.HeaderReferences, thread)
	msg.SetGenHeader(mail.Header("Auto-Submitted"), "auto-generated") // RFC 3834
	msg.SetBodyString(mail.TypeTextPlain, strings.ReplaceAll(m.Text(), "\n", "\r\n")+"\r\n")
	return msg, nil
}

// atom keeps what may stand in the left part of a message's ID.
func atom(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
		return r
	}
	return '-'
}

// smtpFailure tells of an error of SMTP the code only: a server may repeat what
// it was sent.
func smtpFailure(err error) *Failure {
	var send *mail.SendError
	if errors.As(err, &send) && send.ErrorCode() != 0 {
		return failure(send.ErrorCode() >= 500, "the server answered with code %d", send.ErrorCode())
	}
	var proto *textproto.Error
	if errors.As(err, &proto) {
		return failure(false, "the server answered with code %d", proto.Code)
	}
	if text := withoutURL(err); text != "the request failed" {
		return failure(false, "%s", text)
	}
	return failure(false, "sending failed: does the server know STARTTLS, and this way to log in?")
}
