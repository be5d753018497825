package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Slack posts to an incoming webhook
// (https://api.slack.com/messaging/webhooks): 200 with the body ok takes a
// message; 4xx says with a word that it never will; 429 says when to come again.
type Slack struct{ c SlackConfig }

// NewSlack makes a sender of kind slack.
func NewSlack(c SlackConfig) *Slack { return &Slack{c} }

// slackWords are the answers that Slack's page lists: no other text of a reply
// is repeated.
var slackWords = []string{
	"invalid_payload", "user_not_found", "channel_not_found", "channel_is_archived", "action_prohibited",
	"posting_to_general_channel_denied", "too_many_attachments", "no_service", "no_service_id", "no_team",
	"team_disabled", "invalid_token", "no_text", "rollup_error",
}

// Send implements Sender.
func (s *Slack) Send(ctx context.Context, m Message) error {
	to, err := secret("url", s.c.URLFile, s.c.URLEnv)
	if err != nil {
		return failure(false, "%v", err)
	}
	body, err := json.Marshal(slackBody(m))
	if err != nil {
		return failure(true, "making the body: %v", err)
	}
	resp, reply, err := poster{s.c.Common}.post(ctx, to, body, nil)
	if err != nil {
		return err
	}
	reply = strings.TrimSpace(reply)
	word := ""
	if slices.Contains(slackWords, reply) {
		word = ": " + reply
	}
	switch code := resp.StatusCode; {
	case code == http.StatusOK && reply == "ok":
		return nil
	case code == http.StatusOK:
		return status(resp, false, ", and not the body ok: is this Slack?")
	case code == http.StatusTooManyRequests || code >= 500:
		return status(resp, false, word)
	}
	return status(resp, true, word)
}

// slackBody is a message as Slack shows it: a text for where blocks are not
// shown, and a coloured attachment. What stands for something else in Slack's
// markup is escaped (https://api.slack.com/reference/surfaces/formatting).
func slackBody(m Message) map[string]any {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	colour := map[string]string{Critical: "#b00020", Failing: "#d9480f", Warning: "#e8a200", Info: "#2f6fde"}[m.Severity]
	if m.Phase == End {
		colour = "#2b8a3e"
	}
	return map[string]any{
		"text": escape(m.Summary),
		"attachments": []map[string]any{{
			"color":    colour,
			"fallback": escape(m.Summary),
			"text":     escape(strings.Join(m.lines(), "\n")),
			"footer":   escape("veer " + m.Owner + " " + string(m.Event)),
			"ts":       m.Time.Unix(),
		}},
	}
}
