// Package notify tells people and other systems what happened: it makes
// messages of what the journal says, a region's loss one message, and brings
// each to the receivers that want it.
//
// A Desk groups what happened (Take, Note, Zones) and is owned by one
// goroutine; its State is what the next leader goes on from. A Courier brings
// its parcels, each receiver in its own goroutine, with pauses that grow, and
// never makes the Desk wait. A parcel is removed once its receiver has taken
// it, so that whoever leads after a crash brings it again: a message comes at
// least once, with the same ID.
//
// Secrets (a webhook's key, the URL of a Slack webhook, PagerDuty's integration
// key, a password) are read from their file or variable for each message, and
// are in no error: a Failure says what a remote answered by its code only, since
// a body can echo what was sent.
package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Event is what a message is about.
type Event string

// The events.
const (
	Moved       Event = "moved"       // traffic left a region because it is down there, and is back
	AllDown     Event = "all-down"    // services have no pool that is up
	Refused     Event = "refused"     // a move, a drain or a config is held back
	Panic       Event = "panic"       // too much fell at once to be believed
	Zone        Event = "zone"        // a zone at a provider cannot be written
	Failback    Event = "failback"    // traffic returns, waits for an operator, or left again
	Override    Event = "override"    // an operator's order was given, ended, or ran out
	Operator    Event = "operator"    // what else an operator did
	Takeover    Event = "takeover"    // a takeover began or ended
	Certificate Event = "certificate" // a certificate is about to end
	Leader      Event = "leader"      // another process leads
	Test        Event = "test"        // veer notify test
)

// Events lists what a receiver can choose, in order.
func Events() []Event {
	return []Event{Moved, AllDown, Refused, Panic, Zone, Failback, Override, Operator, Takeover, Certificate, Leader}
}

// Phase is where in its story a message stands.
type Phase string

// The phases. Begin, Update and End of one story have the same Key.
const (
	Begin  Phase = "begin"
	Update Phase = "update"
	End    Phase = "end"
	Once   Phase = "once" // there is no end to it
)

// The severities, as PagerDuty has them.
const (
	Critical = "critical"
	Failing  = "error"
	Warning  = "warning"
	Info     = "info"
)

// Bounds of a message.
const (
	maxListed  = 20   // services that are named
	maxSummary = 300  // bytes
	maxDetail  = 4096 // bytes
)

// Message is what receivers are told.
type Message struct {
	// ID is the same each time that the message is sent.
	ID    string `json:"id"`
	Event Event  `json:"event"`
	Phase Phase  `json:"phase"`
	// Key names the story, for those who put its messages together.
	Key      string `json:"key"`
	Severity string `json:"severity"`
	Owner    string `json:"owner"`
	// Time is when it was made, by the wall clock of who leads.
	Time    time.Time `json:"time"`
	Summary string    `json:"summary"`
	// Details are lines for people.
	Details []string `json:"details,omitempty"`
	Region  string   `json:"region,omitempty"`
	// Services are those that it is about, at most 20 of Count.
	Services []string `json:"services,omitempty"`
	Count    int      `json:"count,omitempty"`
	Times    *Times   `json:"times,omitempty"`
	By       string   `json:"by,omitempty"`
	Why      string   `json:"why,omitempty"`
}

// Times are what was measured of an outage, in the leaders' wall clocks; the
// durations are of one monotonic clock each, but for Lasted.
type Times struct {
	// Began is when the leader saw the first sign of it.
	Began time.Time `json:"began"`
	// Moved is when the last service was decided to move, Back when the last one
	// was decided to return.
	Moved time.Time `json:"moved,omitzero"`
	Back  time.Time `json:"back,omitzero"`
	// Recovery is the longest time that a client can have been led to what
	// failed: the longest first sign, the time to the decision, the TTL
	// outstanding. Limit is that service's rto; 0: it has none.
	Recovery time.Duration `json:"recovery_ns,omitempty"`
	Limit    time.Duration `json:"limit_ns,omitempty"`
	// Slowest is the service that Recovery and Limit are of, Late how many took
	// longer than theirs allows.
	Slowest string        `json:"slowest,omitempty"`
	Late    int           `json:"late,omitempty"`
	Lasted  time.Duration `json:"lasted_ns,omitempty"`
}

// Text is the message for people, in plain lines.
func (m Message) Text() string {
	var b strings.Builder
	b.WriteString(m.Summary)
	for _, line := range m.lines() {
		b.WriteString("\n" + line)
	}
	return b.String()
}

// lines are all but the summary.
func (m Message) lines() []string {
	out := slices.Clone(m.Details)
	if t := m.Times; t != nil {
		out = append(out, t.lines(m.Phase)...)
	}
	if len(m.Services) > 1 || len(m.Services) == 1 && !strings.Contains(m.Summary, m.Services[0]) {
		line := "Services: " + strings.Join(m.Services, ", ")
		if more := m.Count - len(m.Services); more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, line)
	}
	if m.Why != "" {
		out = append(out, fmt.Sprintf("By %s: %s", m.By, m.Why))
	}
	return out
}

func (t Times) lines(p Phase) []string {
	var out []string
	if !t.Began.IsZero() {
		out = append(out, "First sign: "+clock(t.Began))
	}
	if !t.Moved.IsZero() {
		out = append(out, "Moved: "+clock(t.Moved))
	}
	if t.Recovery > 0 {
		line := "Measured recovery: " + short(t.Recovery)
		if t.Limit > 0 {
			line += " of " + short(t.Limit) + " allowed"
		}
		line += " (" + t.Slowest + ")"
		if t.Late > 0 {
			line += fmt.Sprintf("; %d later than its rto allows", t.Late)
		}
		out = append(out, line)
	}
	if p == End && !t.Back.IsZero() {
		line := "Back: " + clock(t.Back)
		if t.Lasted > 0 {
			line += ", after " + short(t.Lasted)
		}
		out = append(out, line)
	}
	return out
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// short is a duration in at most two units.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case d < time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	text := d.String()
	text = strings.TrimSuffix(text, "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(text, "m0s")]
	return strings.TrimSuffix(text, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(text, "h0m")]
}

// cut shortens a text that comes from elsewhere, and takes out of it what could
// pass for another line.
func cut(text string, most int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
