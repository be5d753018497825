// Package hook reads what others send to a daemon's listener: notifications of
// an Alertmanager, and messages that are signed as Standard Webhooks says
// (https://www.standardwebhooks.com/). All of it is hostile until it was read
// here; errors repeat nothing of what was sent, which may hold a secret. The
// package does no I/O and its functions are safe for concurrent use.
package hook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what is read.
const (
	// MaxBody is the largest body, in bytes.
	MaxBody = 1 << 20
	// MaxAlerts is how many alerts, or endpoints, one body may hold.
	MaxAlerts = 1000

	maxLabels = 64
	maxLabel  = 1024
	maxWhy    = 200
)

// Alert is an alert of a notification.
type Alert struct {
	// Firing: it fires; else it is resolved.
	Firing bool
	Labels map[string]string
	// Key is the same for each notification of this alert.
	Key string
	// Why is its name and summary, in one line.
	Why string
}

// notification is the body of Alertmanager's webhook, as far as it is of use
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).
type notification struct {
	Version string `json:"version"`
	Alerts  []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
}

// Alerts reads a notification of version 4. Without alerts it is a sign of life
// all the same.
func Alerts(body []byte) ([]Alert, error) {
	var n notification
	if err := decode(body, &n); err != nil {
		return nil, err
	}
	switch {
	case n.Version != "4":
		return nil, errors.New(`the version is not "4"; expected a notification of Alertmanager's webhook_config`)
	case len(n.Alerts) > MaxAlerts:
		return nil, fmt.Errorf("%d alerts; expected at most %d: group them by another label, or set max_alerts", len(n.Alerts), MaxAlerts)
	}
	out := make([]Alert, 0, len(n.Alerts))
	for i, a := range n.Alerts {
		if a.Status != "firing" && a.Status != "resolved" {
			return nil, fmt.Errorf("alert %d has another status than firing or resolved", i+1)
		}
		if err := checkLabels(a.Labels); err != nil {
			return nil, fmt.Errorf("alert %d: %w", i+1, err)
		}
		why := a.Labels["alertname"]
		if s := a.Annotations["summary"]; s != "" {
			why += ": " + s
		}
		out = append(out, Alert{Firing: a.Status == "firing", Labels: a.Labels, Key: keyOf(a.Labels), Why: Line(why)})
	}
	return out, nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) == 0 || len(labels) > maxLabels {
		return fmt.Errorf("%d labels; expected 1 to %d", len(labels), maxLabels)
	}
	for name, value := range labels {
		if len(name) > maxLabel || len(value) > maxLabel {
			return fmt.Errorf("a label is longer than %d bytes", maxLabel)
		}
	}
	return nil
}

// keyOf identifies an alert, as its labels do.
func keyOf(labels map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(labels[name]), labels[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// decode reads one JSON value, and nothing behind it.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	var broken *json.SyntaxError
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("a JSON value of another type than is expected (byte %d)", wrong.Offset)
	case errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("not whole JSON (byte %d)", d.InputOffset())
	case err != nil:
		return fmt.Errorf("a health that is none of up, degraded, down and unknown (byte %d)", d.InputOffset())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("there is more than one JSON value (byte %d)", d.InputOffset())
	}
	return nil
}

// Line makes one short line of a text from outside, that is safe to print.
func Line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	return clip(strings.Join(strings.Fields(text), " "), maxWhy)
}

// clip cuts a text, in bytes, at a rune.
func clip(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "?")
	}
	return strings.ToValidUTF8(text[:most], "")
}
