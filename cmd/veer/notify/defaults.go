package notify

import "slices"

// The kinds of receivers.
const (
	KindWebhook   = "webhook"
	KindSlack     = "slack"
	KindPagerDuty = "pagerduty"
	KindEmail     = "email"
)

// Kinds lists them.
func Kinds() []string { return []string{KindWebhook, KindSlack, KindPagerDuty, KindEmail} }

// Wants are the events that a receiver of a kind is told of: those that it
// lists, or where it lists none those that a receiver of its kind is for. Who is
// paged is told of what has an end, or cannot wait.
func (c Common) Wants(kind string) []Event {
	out := c.Events
	if len(out) == 0 {
		out = slices.DeleteFunc(Events(), func(e Event) bool { return e == Leader })
		if kind == KindPagerDuty {
			out = []Event{Moved, AllDown, Panic, Zone, Certificate}
		}
	}
	return append(slices.Clone(out), Test)
}

// QueueOr is how many messages wait at most.
func (c Common) QueueOr() int {
	if c.Queue == 0 {
		return defaultQueue
	}
	return c.Queue
}
