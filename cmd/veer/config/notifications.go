package config

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/veer/journalout"
	"github.com/veerdns/veer/cmd/veer/notify"
)

// Notifications say who is told of what happens.
type Notifications struct {
	// Group is how long the first service that leaves a region waits for others,
	// so that a region's loss is one message.
	Group     time.Duration `yaml:"group"`
	Receivers Receivers     `yaml:"receivers"`
}

const (
	defaultGroup = 10 * time.Second
	maxGroup     = 5 * time.Minute
	maxReceivers = 20
)

// plainNotifications has the keys and no methods.
type plainNotifications Notifications

// toNode leaves the section out where nobody is told.
func (n Notifications) toNode(e encoder) *node {
	if len(n.Receivers) == 0 {
		return nil
	}
	return e.against(reflect.ValueOf(plainNotifications(n)), reflect.ValueOf(plainNotifications{Group: defaultGroup}))
}

func (n *Notifications) setDefaults() { n.Group = defaultGroup }

// Receivers are in the file's order.
type Receivers []Receiver

// Receiver is one place where messages go. The Config of its kind is set, and no
// other.
type Receiver struct {
	Name      string
	Kind      string
	Webhook   *notify.WebhookConfig
	Slack     *notify.SlackConfig
	PagerDuty *notify.PagerDutyConfig
	Email     *notify.EmailConfig
}

// choose makes the Config of the receiver's kind and returns it, or nil for an
// unknown kind.
func (r *Receiver) choose() any {
	switch r.Kind {
	case notify.KindWebhook:
		r.Webhook = &notify.WebhookConfig{}
		return r.Webhook
	case notify.KindSlack:
		r.Slack = &notify.SlackConfig{}
		return r.Slack
	case notify.KindPagerDuty:
		r.PagerDuty = &notify.PagerDutyConfig{}
		return r.PagerDuty
	case notify.KindEmail:
		r.Email = &notify.EmailConfig{}
		return r.Email
	}
	return nil
}

// own returns the kind's Config, or nil.
func (r Receiver) own() interface {
	Check(bad func(field, format string, args ...any))
} {
	switch {
	case r.Webhook != nil:
		return *r.Webhook
	case r.Slack != nil:
		return *r.Slack
	case r.PagerDuty != nil:
		return *r.PagerDuty
	case r.Email != nil:
		return *r.Email
	}
	return nil
}

// Common are the keys that every kind has.
func (r Receiver) Common() notify.Common {
	switch {
	case r.Webhook != nil:
		return r.Webhook.Common
	case r.Slack != nil:
		return r.Slack.Common
	case r.PagerDuty != nil:
		return r.PagerDuty.Common
	case r.Email != nil:
		return r.Email.Common
	}
	return notify.Common{}
}

func (rs *Receivers) fromNode(d decoder, n *node, path string) {
	d.named(n, path, "receivers", notify.Kinds(), func(name string) (*string, func() any) {
		*rs = append(*rs, Receiver{Name: name})
		r := &(*rs)[len(*rs)-1]
		return &r.Kind, r.choose
	})
}

func (rs Receivers) toNode(e encoder) *node {
	out := &node{shape: mapping}
	for _, r := range rs {
		out.add(r.Name, e.kinded(r.Kind, r.own()))
	}
	return out
}

// notifications checks the section.
func (l *loader) notifications() {
	if !l.has("notifications") {
		return
	}
	n := l.c.Notifications
	if l.has("notifications.group") {
		l.between("notifications.group", n.Group, 0, maxGroup)
	}
	switch {
	case len(n.Receivers) == 0 && l.clean("notifications"):
		l.bad("notifications", "there is no receiver", "receivers: with at least one, of a kind like webhook, slack, pagerduty or email", "")
	case len(n.Receivers) > maxReceivers:
		l.bad("notifications.receivers", fmt.Sprintf("found %d receivers", len(n.Receivers)), fmt.Sprintf("at most %d", maxReceivers), "")
	}
	for _, r := range n.Receivers {
		path := "notifications.receivers." + r.Name
		if !isLabel(r.Name) {
			l.bad(path, "found the name "+quote(r.Name), labelRule, "")
		}
		if own := r.own(); own != nil {
			own.Check(l.under(path))
		}
	}
}

// Journal says where the journal is written to beside the ledger.
type Journal struct {
	File   *journalout.FileConfig   `yaml:"file"`
	Syslog *journalout.SyslogConfig `yaml:"syslog"`
}

// Outputs names what is set.
func (j Journal) Outputs() []string {
	var out []string
	if j.File != nil {
		out = append(out, journalout.OutputFile)
	}
	if j.Syslog != nil {
		out = append(out, journalout.OutputSyslog)
	}
	return out
}

// journal checks the section.
func (l *loader) journal() {
	if !l.has("journal") {
		return
	}
	j := l.c.Journal
	if len(j.Outputs()) == 0 && l.clean("journal") {
		l.bad("journal", "there is no output", "file, syslog, or both", "")
	}
	if j.File != nil {
		j.File.Check(l.under("journal.file"))
	}
	if j.Syslog != nil {
		j.Syslog.Check(l.under("journal.syslog"))
	}
	if l.c.Schedule > 0 {
		l.bad("journal", "schedule and journal are both set", "one of them: it is daemons that write it out, and `veer once` does not", "")
	}
}

// Receiver returns the receiver of a name.
func (n Notifications) Receiver(name string) (Receiver, bool) {
	i := slices.IndexFunc(n.Receivers, func(r Receiver) bool { return r.Name == name })
	if i < 0 {
		return Receiver{}, false
	}
	return n.Receivers[i], true
}
