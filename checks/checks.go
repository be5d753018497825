// Package checks says what it means to check an endpoint: a Target is probed
// by a Prober, which returns a Result; Track turns a run of results into the
// one Health that a vantage votes for.
//
// The package is pure: the standard library only, no clock, no logger, no I/O.
// Its values are safe to copy; nothing in it needs a lock. The protocols live
// in the packages below it (httpcheck, tcpcheck, dnscheck, execcheck, ...),
// which import this one and never each other.
package checks

import (
	"context"
	"fmt"
	"time"
)

// Health is what is known of an endpoint. Its zero value is Unknown, which is
// not a kind of down: unknown never moves traffic.
type Health uint8

// The order is from worst to best, so that healths can be compared; Unknown
// is outside that order and must be handled before comparing.
const (
	Unknown Health = iota
	Down
	Degraded
	Up
)

// String returns the word used in configs, logs and JSON.
func (h Health) String() string {
	switch h {
	case Down:
		return "down"
	case Degraded:
		return "degraded"
	case Up:
		return "up"
	default:
		return "unknown"
	}
}

// MarshalText writes the word of String.
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads one of the four words and refuses all else.
func (h *Health) UnmarshalText(text []byte) error {
	for _, known := range []Health{Unknown, Down, Degraded, Up} {
		if string(text) == known.String() {
			*h = known
			return nil
		}
	}
	return fmt.Errorf("health %q: expected up, degraded, down or unknown", text)
}

// Target is one thing to probe: an endpoint as one monitor sees it.
type Target struct {
	// Name identifies the endpoint in logs and votes, e.g. "web@192.0.2.10".
	Name string
	// Host is an IP address literal (no brackets) or a host name.
	Host string
	// Port is the port to connect to; 0 means the protocol's default.
	Port uint16
}

// Evidence keeps how far a probe came and how long each phase took. A phase
// that was not reached, or that the protocol does not have, is 0.
type Evidence struct {
	// Address is the address and port that was dialled.
	Address   string        `json:"address,omitempty"`
	Resolve   time.Duration `json:"resolve,omitempty"`
	Connect   time.Duration `json:"connect,omitempty"`
	TLS       time.Duration `json:"tls,omitempty"`
	FirstByte time.Duration `json:"first_byte,omitempty"`
	// Detail is protocol specific and bounded: a status line, an rcode, the
	// first line a command printed. It never holds a secret.
	Detail string `json:"detail,omitempty"`
}

// Result is the outcome of one probe.
type Result struct {
	Health  Health        `json:"health"`
	Latency time.Duration `json:"latency"`
	// Reason is one sentence fit for 3 a.m.: what was done, what was found,
	// what was expected. It is set for every health, Up included.
	Reason   string   `json:"reason"`
	Evidence Evidence `json:"evidence"`
}

// Prober runs one probe. A failure of the endpoint is a Result, not an error;
// a failure of the prober itself (no descriptor left, command not found) is
// Unknown. The context carries the probe's whole time-out; Probe returns soon
// after it ends. A Prober is safe for concurrent use.
type Prober interface {
	Probe(ctx context.Context, t Target) Result
}

// Watcher holds a connection to the endpoint open beside the schedule and
// returns, with a sentence why, when the connection is lost or could not be
// had, and nil when ctx ended. The loss is not a verdict: it only makes the
// endpoint be probed at once.
type Watcher interface {
	Watch(ctx context.Context, t Target) error
}
