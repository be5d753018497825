package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Webhook sends requests as Standard Webhooks has them
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
// the headers webhook-id, webhook-timestamp and webhook-signature, and a body
// of type, timestamp and data. 2xx takes a message; 410 means that nobody wants
// any, and so do other codes of 4xx but 408, 425 and 429, since the same request
// would be refused again.
type Webhook struct{ c WebhookConfig }

// NewWebhook makes a sender of kind webhook.
func NewWebhook(c WebhookConfig) *Webhook { return &Webhook{c} }

// hookBody is the body.
type hookBody struct {
	Type      string    `json:"type"` // veer.EVENT.PHASE
	Timestamp time.Time `json:"timestamp"`
	Data      Message   `json:"data"`
}

// Send implements Sender.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	to, err := w.c.URL, error(nil)
	if to == "" {
		if to, err = secret("url", w.c.URLFile, w.c.URLEnv); err != nil {
			return failure(false, "%v", err)
		}
	}
	key, err := hookKey(w.c)
	if err != nil {
		return failure(false, "%v", err)
	}
	body, err := json.Marshal(hookBody{Type: "veer." + string(m.Event) + "." + string(m.Phase), Timestamp: m.Time, Data: m})
	if err != nil {
		return failure(true, "making the body: %v", err)
	}
	at := strconv.FormatInt(time.Now().Unix(), 10) // of this try: a receiver refuses old ones
	resp, _, err := poster{w.c.Common}.post(ctx, to, body, map[string]string{
		"webhook-id": m.ID, "webhook-timestamp": at, "webhook-signature": "v1," + sign(key, m.ID, at, body),
	})
	if err != nil {
		return err
	}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return status(resp, false, "")
	case code == http.StatusGone:
		return status(resp, true, ": the receiver wants no messages any more")
	}
	return status(resp, true, "")
}

// sign is the base64 of HMAC-SHA256 over id.timestamp.body.
func sign(key []byte, id, at string, body []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + at + ".")) // a hash's Write never fails
	h.Write(body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// hookPrefix begins a key's text.
const hookPrefix = "whsec_"

// hookKey reads the key, which no error of it tells.
func hookKey(c WebhookConfig) ([]byte, error) {
	text, err := secret("secret", c.SecretFile, c.SecretEnv)
	if err != nil {
		return nil, err
	}
	rest, ok := strings.CutPrefix(text, hookPrefix)
	key, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("secret: expected whsec_ and base64 of 24 to 64 bytes, as by: echo whsec_$(openssl rand -base64 32)")
	}
	return key, nil
}
