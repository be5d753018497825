package cluster

import (
	"net"
	"strings"
	"sync"

	"github.com/rs/zerolog"
)

// trouble is why an etcd that runs elsewhere does not serve this process, as
// far as it is known: a request only waits, for as long as it may. What is new
// is logged. It is safe for concurrent use; nil has none.
type trouble struct {
	log zerolog.Logger

	mu  sync.Mutex
	err error
}

// set notes what is wrong, or that nothing is.
func (t *trouble) set(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && (t.err == nil || t.err.Error() != err.Error()) {
		t.log.Error().Err(err).Msg("etcd refuses this process, or is refused by it")
	}
	t.err = err
}

// get is what is wrong; nil: nothing that is known.
func (t *trouble) get() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// told is a TLS connection that notes why the server ends it: with TLS 1.3 a
// client learns of it that its certificate was refused by its first read.
type told struct {
	net.Conn
	trouble *trouble
	first   sync.Once
}

func (t *told) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	switch {
	case err == nil:
		t.first.Do(func() { t.trouble.set(nil) }) // it was let in
	case strings.Contains(err.Error(), "tls: "):
		t.trouble.set(err)
	}
	return n, err
}
