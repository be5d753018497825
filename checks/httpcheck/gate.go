package httpcheck

import (
	"net"
	"sync"
)

// gate is a connection that is not read from before something was written:
// an HTTP/1.1 server that talks first is then judged by what it says, where
// net/http would close the connection and write to the standard logger.
type gate struct {
	net.Conn
	once sync.Once
	open chan struct{}
}

func newGate(conn net.Conn) *gate { return &gate{Conn: conn, open: make(chan struct{})} }

// Read waits for the first Write, or for Close.
func (g *gate) Read(b []byte) (int, error) {
	<-g.open
	return g.Conn.Read(b)
}

// Write opens the gate.
func (g *gate) Write(b []byte) (int, error) {
	defer g.once.Do(func() { close(g.open) })
	return g.Conn.Write(b)
}

// Close lets a Read that waits find the connection closed.
func (g *gate) Close() error {
	err := g.Conn.Close()
	g.once.Do(func() { close(g.open) })
	return err
}
