package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// PagerDuty sends events of the Events API v2
// (https://developer.pagerduty.com/docs/events-api-v2/overview/): 202 takes one;
// 400 is an invalid one; 429 and 5xx are to be tried again. Begin, Update and
// Once trigger, End resolves, all with the dedup_key of the story.
type PagerDuty struct{ c PagerDutyConfig }

// NewPagerDuty makes a sender of kind pagerduty.
func NewPagerDuty(c PagerDutyConfig) *PagerDuty { return &PagerDuty{c} }

// Limits of the API.
const (
	pagerSummary = 1024
	pagerKey     = 255
	pagerRouting = 32
)

type pagerEvent struct {
	RoutingKey string        `json:"routing_key"`
	Action     string        `json:"event_action"`
	DedupKey   string        `json:"dedup_key"`
	Client     string        `json:"client,omitempty"`
	Payload    *pagerPayload `json:"payload,omitempty"`
}

type pagerPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

// Send implements Sender.
func (p *PagerDuty) Send(ctx context.Context, m Message) error {
	key, err := secret("key", p.c.KeyFile, p.c.KeyEnv)
	if err != nil {
		return failure(false, "%v", err)
	}
	if len(key) != pagerRouting {
		return failure(false, "key: expected an integration key of the Events API v2, which has %d characters", pagerRouting)
	}
	body, err := json.Marshal(pagerBody(key, m))
	if err != nil {
		return failure(true, "making the body: %v", err)
	}
	to := p.c.URL
	if to == "" {
		to = PagerDutyURL
	}
	resp, _, err := poster{p.c.Common}.post(ctx, to, body, nil)
	if err != nil {
		return err
	}
	switch code := resp.StatusCode; {
	case code == http.StatusAccepted:
		return nil
	case code == http.StatusBadRequest:
		return status(resp, true, ": PagerDuty calls the event invalid; is the key one of the Events API v2?")
	case code == http.StatusTooManyRequests || code >= 500 || code == http.StatusRequestTimeout:
		return status(resp, false, "")
	}
	return status(resp, true, "")
}

func pagerBody(key string, m Message) pagerEvent {
	e := pagerEvent{RoutingKey: key, Action: "trigger", DedupKey: dedupKey(m), Client: "veer"}
	if m.Phase == End {
		e.Action = "resolve"
	}
	e.Payload = &pagerPayload{
		Summary: cut(m.Summary, pagerSummary-4), Source: "veer/" + m.Owner, Severity: m.Severity,
		Timestamp: m.Time.UTC().Format(time.RFC3339), Component: m.Region, Group: m.Owner, Class: string(m.Event),
		Details: map[string]string{"text": m.Text(), "id": m.ID, "phase": string(m.Phase)},
	}
	return e
}

// dedupKey is the story's name, or its hash where that is too long.
func dedupKey(m Message) string {
	key := "veer/" + m.Owner + "/" + m.Key
	if len(key) <= pagerKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "veer/" + hex.EncodeToString(sum[:])
}
