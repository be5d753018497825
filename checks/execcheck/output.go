package execcheck

import (
	"bytes"
	"sync"

	"github.com/veerdns/veer/checks/internal/attempt"
)

// output keeps the first bytes that a command prints and drops the rest.
type output struct {
	limit int

	mu   sync.Mutex
	kept []byte
}

// Write takes all of b, so that the command is never held up.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, b[:min(len(b), o.limit-len(o.kept))]...)
	return len(b), nil
}

// line is the first line that holds anything, without the performance data
// that plugins print after a bar.
func (o *output) line() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range bytes.Lines(o.kept) {
		text, _, _ := bytes.Cut(line, []byte("|"))
		if text := attempt.Clip(string(text), 200); text != "" {
			return text
		}
	}
	return ""
}
