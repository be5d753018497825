package sqlcheck_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
)

// said is what a fake server says to one statement.
type said struct {
	columns []string // none: the statement gives no rows
	rows    [][]string
	// code and message are an error: an SQLSTATE, or a number of MySQL.
	code    string
	number  uint16
	message string
}

const null = "\x00null" // a value that is NULL

// fake is a server that speaks a protocol as far as the check does.
type fake struct {
	login    said // an error refuses the login
	cleartxt bool // ask for the password in clear text
	tls      *tls.Config
	// says answers each statement; "" of the map answers all others.
	says map[string]said
	// heard gets each statement, and "bye" at the end.
	heard chan string
	// resume lets the answer to Q come; nil does not hold it up.
	resume chan struct{}
	// password is what came.
	password chan string
}

func (f fake) say(statement string) said {
	if f.heard != nil {
		f.heard <- statement
	}
	if f.resume != nil && statement == "Q" {
		<-f.resume
	}
	for start, s := range f.says {
		if start != "" && strings.HasPrefix(statement, start) {
			return s
		}
	}
	return f.says[""]
}

// serve starts a fake on host.
func serve(t *testing.T, host string, speak func(net.Conn)) checks.Target {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				speak(conn)
				_ = conn.Close()
			}()
		}
	}()
	return checktest.Target(listener.Addr())
}

// postgres speaks the frontend/backend protocol, version 3
// (https://www.postgresql.org/docs/current/protocol.html).
func (f fake) postgres(conn net.Conn) {
	backend := pgproto3.NewBackend(conn, conn)
	first, err := backend.ReceiveStartupMessage()
	if _, asked := first.(*pgproto3.SSLRequest); err == nil && asked {
		if f.tls == nil {
			_, _ = conn.Write([]byte{'N'})
			return
		}
		_, _ = conn.Write([]byte{'S'})
		conn = tls.Server(conn, f.tls)
		backend = pgproto3.NewBackend(conn, conn)
		first, err = backend.ReceiveStartupMessage()
	}
	startup, ok := first.(*pgproto3.StartupMessage)
	if err != nil || !ok || !f.expected(startup) {
		return
	}
	if f.cleartxt {
		backend.Send(&pgproto3.AuthenticationCleartextPassword{})
		_ = backend.Flush()
		_ = backend.SetAuthType(pgproto3.AuthTypeCleartextPassword)
		if m, err := backend.Receive(); err == nil && f.password != nil {
			f.password <- m.(*pgproto3.PasswordMessage).Password
		}
	}
	if f.login.code != "" {
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: f.login.code, Message: f.login.message})
		_ = backend.Flush()
		return
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"})
	backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	f.converse(backend)
}

// expected reports whether a session begins as the check's does: with
// protocol 3.0, which poolers know, and no settings but its name.
func (f fake) expected(m *pgproto3.StartupMessage) bool {
	for name, value := range m.Parameters {
		if name != "user" && name != "database" && (name != "application_name" || value != "veer") {
			return false
		}
	}
	return m.ProtocolVersion == pgproto3.ProtocolVersion30 && m.Parameters["user"] != "other"
}

func (f fake) converse(backend *pgproto3.Backend) {
	for {
		if backend.Flush() != nil {
			return
		}
		message, err := backend.Receive()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *pgproto3.Query:
			f.answer(backend, m.String, true)
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
		case *pgproto3.Parse:
			backend.Send(&pgproto3.ParseComplete{})
			backend.Send(&pgproto3.BindComplete{})
			f.answer(backend, m.Query, false)
		case *pgproto3.Sync:
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
		case *pgproto3.Terminate:
			if f.heard != nil {
				f.heard <- "bye"
			}
			return
		}
	}
}

func (f fake) answer(backend *pgproto3.Backend, statement string, simple bool) {
	if simple && strings.HasPrefix(statement, "BEGIN") {
		for range strings.Count(statement, ";") + 1 {
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SET")})
		}
		f.say(statement)
		return
	}
	s := f.say(statement)
	if s.code != "" {
		backend.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: s.code, Message: s.message})
		return
	}
	var fields []pgproto3.FieldDescription
	for _, c := range s.columns {
		fields = append(fields, pgproto3.FieldDescription{Name: []byte(c), DataTypeOID: 25, DataTypeSize: -1})
	}
	if fields != nil {
		backend.Send(&pgproto3.RowDescription{Fields: fields})
	}
	for _, row := range s.rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			if v != null {
				values[i] = []byte(v)
			}
		}
		backend.Send(&pgproto3.DataRow{Values: values})
	}
	backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT")})
}

// mysql speaks MySQL's protocol 4.1 without TLS
// (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html).
func (f fake) mysql(conn net.Conn) {
	const capabilities = 0x00000200 | 0x00008000 | 0x00080000 | 0x00000001 | 0x00000008 | 0x00002000
	greeting := append([]byte{10}, "8.0.36\x00"...)
	greeting = append(greeting, 1, 0, 0, 0)
	greeting = append(greeting, "12345678\x00"...)
	greeting = append(greeting, capabilities&0xff, capabilities>>8&0xff, 45, 2, 0, capabilities>>16&0xff, capabilities>>24&0xff, 21)
	greeting = append(greeting, make([]byte, 10)...)
	greeting = append(greeting, "123456789012\x00mysql_native_password\x00"...)
	c := &myConn{Conn: conn}
	c.send(greeting)
	if _, err := c.receive(); err != nil {
		return
	}
	if f.cleartxt {
		c.send(append([]byte{0xfe}, "mysql_clear_password\x00"...))
		if b, err := c.receive(); err == nil && f.password != nil {
			f.password <- string(b)
		}
	}
	if f.login.number != 0 {
		c.refuse(f.login)
		return
	}
	c.okay()
	for {
		command, err := c.receive()
		if err != nil || len(command) == 0 {
			return
		}
		if command[0] != 3 {
			if f.heard != nil {
				f.heard <- "bye"
			}
			return
		}
		c.result(f.say(string(command[1:])))
	}
}

// myConn is a connection that counts packets.
type myConn struct {
	net.Conn
	sequence byte
}

func (c *myConn) receive() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err := io.ReadFull(c, body)
	c.sequence = head[3] + 1
	return body, err
}

func (c *myConn) send(body []byte) {
	head := []byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), c.sequence}
	c.sequence++
	_, _ = c.Write(append(head, body...)) // A caller that went away does not read it.
}

func (c *myConn) okay() { c.send([]byte{0, 0, 0, 2, 0, 0, 0}) }

func (c *myConn) refuse(s said) {
	c.send(append(binary.LittleEndian.AppendUint16([]byte{0xff}, s.number), "#HY000"+s.message...))
}

func (c *myConn) result(s said) {
	switch {
	case s.number != 0:
		c.refuse(s)
		return
	case s.columns == nil:
		c.okay()
		return
	}
	end := []byte{0xfe, 0, 0, 2, 0}
	c.send([]byte{byte(len(s.columns))})
	for _, name := range s.columns {
		def := append([]byte("\x03def\x00\x00\x00"), byte(len(name)))
		def = append(append(def, name...), 0, 12, 45, 0, 255, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0)
		c.send(def)
	}
	c.send(end)
	for _, row := range s.rows {
		var b []byte
		for _, v := range row {
			if v == null {
				b = append(b, 0xfb)
			} else {
				b = append(append(b, byte(len(v))), v...)
			}
		}
		c.send(b)
	}
	c.send(end)
}

// until closes a connection with a context, for a fake that only waits.
func until(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, _ = io.Copy(io.Discard, conn)
}
