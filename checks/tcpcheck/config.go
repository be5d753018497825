package tcpcheck

import "regexp"

// DefaultMaxRead is how much of an answer is read when max_read is not set.
const DefaultMaxRead = 4 << 10

// The highest values that Check accepts, in bytes.
const (
	maxMaxRead = 64 << 10
	maxSend    = 64 << 10
)

// Config is what a TCP check sends and what it expects. Empty, it only
// connects.
type Config struct {
	// Send is sent once connected, byte for byte.
	Send string `yaml:"send,omitempty"`
	// Expect is a substring that the answer must hold.
	Expect string `yaml:"expect,omitempty"`
	// Matches is a regular expression in Go's syntax (RE2) that the answer
	// must match. With Expect, both must hold.
	Matches string `yaml:"matches,omitempty"`
	// MaxRead is how many bytes of the answer are read and searched; 0 is
	// DefaultMaxRead.
	MaxRead int `yaml:"max_read,omitempty"`
}

// Check reports every problem of the config by the field's key path.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if len(c.Send) > maxSend {
		bad("send", "%d bytes; expected at most %d", len(c.Send), maxSend)
	}
	if _, err := regexp.Compile(c.Matches); err != nil {
		bad("matches", "%v; expected Go's regular expression syntax", err)
	}
	if c.MaxRead < 0 || c.MaxRead > maxMaxRead {
		bad("max_read", "%d bytes is out of range; expected 1 to %d, or 0 for %d", c.MaxRead, maxMaxRead, DefaultMaxRead)
	}
	limit := c.MaxRead
	if limit <= 0 {
		limit = DefaultMaxRead
	}
	if len(c.Expect) > limit {
		bad("expect", "%d bytes can never be found in the %d that max_read allows; raise max_read", len(c.Expect), limit)
	}
	if c.MaxRead != 0 && c.Expect == "" && c.Matches == "" {
		bad("max_read", "set, but nothing is read without expect or matches; set one of them or remove max_read")
	}
}
