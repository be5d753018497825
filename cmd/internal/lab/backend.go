package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// ServeBackend is a toy service: it answers every path with its name, and
// prints "ready" to out once it listens. It blocks until ctx ends.
func ServeBackend(ctx context.Context, listen, name string, out io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("backend %s: %w", name, err)
	}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "ok: %s\n", name)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return fmt.Errorf("backend %s: %w", name, err)
	}
	select {
	case err := <-ended:
		return fmt.Errorf("backend %s: %w", name, err)
	case <-ctx.Done():
		_ = s.Close() // nothing of a toy is worth waiting for
		<-ended
		return nil
	}
}
