package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"
)

// logged is one line of a daemon's JSON log, as far as it is told.
type logged struct {
	from      string
	Time      time.Time `json:"time"`
	Level     string    `json:"level"`
	Message   string    `json:"message"`
	Error     string    `json:"error"`
	Why       string    `json:"why"`
	Endpoint  string    `json:"endpoint"`
	Is        string    `json:"is"`
	Committed float64   `json:"committed_ms"`
}

// repeatAfter is how long the same warning is not told again; a busy machine
// makes some often. The log has them all.
const repeatAfter = time.Minute

// follow reads a log from where it is now and sends each new line, until ctx
// ends.
func follow(ctx context.Context, path, from string, lines chan<- logged) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return
	}
	r := bufio.NewReader(f)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	part := ""
	for {
		s, err := r.ReadString('\n')
		part += s
		if errors.Is(err, io.EOF) {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
		l := logged{from: from}
		if json.Unmarshal([]byte(part), &l) == nil {
			select {
			case lines <- l:
			case <-ctx.Done():
				return
			}
		}
		part = ""
	}
}

// tell notes what a newcomer wants to know of a log line.
func (s *show) tell(l logged) {
	switch {
	case l.Message == "answer moved":
		// The line comes after the ledger's reply, and may come after the answer.
		decided := l.Time.Add(-time.Duration(l.Committed * float64(time.Millisecond)))
		s.notes.add(plain, decided, "%s decided, and the ledger agreed in %.1f ms: %s", l.from, l.Committed, l.Why)
	case l.Message == "the vote changes":
		s.notes.add(plain, l.Time, "%s votes %s on %s: %s", l.from, l.Is, l.Endpoint, l.Why)
	case l.Level == "warn" || l.Level == "error":
		text := l.Message
		if l.Error != "" {
			text += ": " + l.Error
		}
		text = l.from + " warns: " + text
		if l.Time.Sub(s.warned[text]) > repeatAfter {
			s.warned[text] = l.Time
			s.notes.add(plain, l.Time, "%s", text)
		}
	}
}
