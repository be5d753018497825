package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/veerdns/veer/checks"
)

// The headers of Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"

	maxID         = 128
	maxSignatures = 8
)

// ErrSignature means that a message is not signed with the secret.
var ErrSignature = errors.New("no signature in webhook-signature is that of this message by this hook's secret; expected v1,BASE64 of HMAC-SHA256 over ID.TIMESTAMP.BODY")

// Secret is what a sender signs with.
type Secret struct{ key []byte }

// ParseSecret reads a secret: 24 to 64 bytes in base64, with or without whsec_
// before them. Its error does not repeat it.
func ParseSecret(text string) (Secret, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return Secret{}, errors.New("the secret is not 24 to 64 bytes in base64; `openssl rand -base64 32` makes one")
	}
	return Secret{key}, nil
}

// Name identifies the secret and does not tell it.
func (s Secret) Name() string { return hex.EncodeToString(s.sum("veer: the name of this secret")[:8]) }

func (s Secret) sum(text string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Stamp tells a message from the sender's others.
type Stamp struct {
	ID string
	// At is the second in which it was sent, by the sender's clock: a number
	// that only is compared with earlier ones of the same sender.
	At int64
}

// Verify reports who sent a body when, if it is signed with the secret. Several
// signatures may stand in the header, as while a secret is changed.
func Verify(s Secret, header http.Header, body []byte) (Stamp, error) {
	id, at := header.Get(headerID), header.Get(headerTimestamp)
	switch {
	case id == "" || len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Stamp{}, fmt.Errorf("webhook-id has %d bytes; expected 1 to %d letters, digits or signs", len(id), maxID)
	case at == "":
		return Stamp{}, errors.New("webhook-timestamp is missing; expected seconds since 1970")
	}
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != at {
		return Stamp{}, errors.New("webhook-timestamp is no number of seconds since 1970")
	}
	want := s.sum(id + "." + at + "." + string(body))
	given := strings.Fields(header.Get(headerSignature))
	if len(given) > maxSignatures {
		return Stamp{}, fmt.Errorf("webhook-signature has %d signatures; expected at most %d", len(given), maxSignatures)
	}
	signed := false
	for _, g := range given {
		text, v1 := strings.CutPrefix(g, "v1,")
		is, err := base64.StdEncoding.DecodeString(text)
		if v1 && err == nil && hmac.Equal(is, want) {
			signed = true
		}
	}
	if !signed {
		return Stamp{}, ErrSignature
	}
	return Stamp{ID: id, At: n}, nil
}

// Said is what a signed message says of a service, or of a part of it.
type Said struct {
	Service string `json:"service"`
	Region  string `json:"region"`
	Address string `json:"address"`
	// Health is up, degraded or down; unknown takes back what was said.
	Health checks.Health `json:"health"`
	Why    string        `json:"why"`
}

// message is the body of a signed message. Type, timestamp and what else Standard
// Webhooks has there is not looked at.
type message struct {
	Data *struct {
		Endpoints []Said `json:"endpoints"`
	} `json:"data"`
}

// Statements reads the body of a signed message. Without endpoints it is a sign
// of life all the same.
func Statements(body []byte) ([]Said, error) {
	var m message
	if err := decode(body, &m); err != nil {
		return nil, err
	}
	if m.Data == nil {
		return nil, errors.New(`there is no "data"; expected {"data": {"endpoints": [{"service": NAME, "address": ADDRESS, "health": "down"}]}}`)
	}
	if n := len(m.Data.Endpoints); n > MaxAlerts {
		return nil, fmt.Errorf("%d endpoints; expected at most %d", n, MaxAlerts)
	}
	for i, s := range m.Data.Endpoints {
		if s.Service == "" || len(s.Service)+len(s.Region)+len(s.Address) > maxLabel {
			return nil, fmt.Errorf("endpoint %d: expected a service, and with it a region, an address or both", i+1)
		}
		m.Data.Endpoints[i].Why = Line(s.Why)
	}
	return m.Data.Endpoints, nil
}

// Beat is what an endpoint may say of itself in the body of a heartbeat.
type Beat struct {
	Health checks.Health `json:"health"`
	Why    string        `json:"why"`
}

// MaxBeat is the largest body of a heartbeat, in bytes.
const MaxBeat = 4 << 10

// ParseBeat reads the body of a heartbeat; an empty one says up.
func ParseBeat(body []byte) (Beat, error) {
	b := Beat{Health: checks.Up}
	if len(strings.TrimSpace(string(body))) == 0 {
		return b, nil
	}
	if err := decode(body, &b); err != nil {
		return b, err
	}
	if b.Health == checks.Unknown {
		return b, errors.New("health is unknown; expected up, degraded or down, or no body at all, which is up")
	}
	b.Why = Line(b.Why)
	return b, nil
}
