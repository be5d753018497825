package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
)

// fenced notes that a zone was written by another: whoever leads tells it.
func (d *daemon) fenced(w controller.Written) {
	select {
	case d.notices.fenced <- w:
	default: // there is enough to tell
	}
}

// Times between notes of the same fact.
const (
	certificateEvery = 24 * time.Hour
	fencedEvery      = 10 * time.Minute
)

// noteFacts notes in the journal what only this process sees, for whoever leads
// to tell: certificates of this host that are about to end, and that another
// writes a zone.
func (d *daemon) noteFacts(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	said := map[string]time.Time{}
	d.noteCertificates(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.noteCertificates(ctx)
		case w := <-d.notices.fenced:
			key := w.Name + "/" + w.Zone
			if at, ok := said[key]; ok && time.Since(at) < fencedEvery {
				continue
			}
			said[key] = time.Now()
			d.noteFact(ctx, notify.ActFenced, fmt.Sprintf("%s at %s: a newer leader, or another Veer with this owner, has written; this process writes no more", short(w.Zone), w.Name))
		}
	}
}

func (d *daemon) noteFact(ctx context.Context, act, why string) {
	ctx, cancel := context.WithTimeout(ctx, noteWithin)
	defer cancel()
	if err := d.joined.JournalNote(ctx, cluster.Note{Act: act, By: string(d.c.Host.Region), Why: why}); err != nil {
		d.o.Log.Debug().Err(err).Str("act", act).Msg("the journal has no note of it")
	}
}

// noteCertificates notes what is wrong with this host's certificates, once a day
// whatever restarts.
func (d *daemon) noteCertificates(ctx context.Context) {
	warnings := d.c.CertificateWarnings(time.Now())
	if len(warnings) == 0 {
		return
	}
	notes, err := d.joined.Notes(ctx, 1000)
	if err != nil {
		return // the next hour tries again
	}
	by := string(d.c.Host.Region)
	if slices.ContainsFunc(notes, func(n cluster.Note) bool {
		return n.Act == notify.ActCertificate && n.By == by && time.Since(n.Time) < certificateEvery
	}) {
		return
	}
	d.noteFact(ctx, notify.ActCertificate, strings.Join(warnings[:min(len(warnings), 5)], "; "))
}

// tellTakeover tells that a takeover began: nobody leads who could.
func (d *daemon) tellTakeover(by, why string, term uint64) {
	if len(d.c.Notifications.Receivers) == 0 {
		return
	}
	now := time.Now().UTC()
	m := notify.Message{
		ID: fmt.Sprintf("takeover-%d-%s", term, d.c.Host.Region), Event: notify.Takeover, Phase: notify.Once, Key: fmt.Sprintf("takeover/%d", term),
		Severity: notify.Warning, Owner: d.c.Owner, Time: now, By: by, Why: why,
		Summary: fmt.Sprintf("takeover at %s, term %d: only its operator's orders are written at the providers", d.c.Host.Region, term),
	}
	select {
	case d.notices.apart <- m:
	default:
		d.o.Log.Warn().Msg("nobody is notified of the takeover: others were begun at the same time")
	}
}

// Notified is what became of a test message.
type Notified struct {
	Receiver string `json:"receiver"`
	Kind     string `json:"kind"`
	Sent     bool   `json:"sent"`
	Error    string `json:"error,omitempty"`
}

// TestNotifications sends a test message to each receiver, or to those that are
// named, from this process, once. Its error says that a name is unknown.
func TestNotifications(ctx context.Context, c *config.Config, names []string, by string) ([]Notified, error) {
	var chosen []config.Receiver
	if len(names) == 0 {
		chosen = c.Notifications.Receivers
	}
	for _, name := range names {
		r, ok := c.Notifications.Receiver(name)
		if !ok {
			return nil, fmt.Errorf("there is no receiver %q", name)
		}
		chosen = append(chosen, r)
	}
	now := time.Now().UTC()
	id := "test-" + cluster.NewOrderID(now)
	out := make([]Notified, len(chosen))
	var all sync.WaitGroup
	for i, r := range chosen {
		all.Go(func() {
			m := notify.Message{
				ID: id, Event: notify.Test, Phase: notify.Once, Key: id, Severity: notify.Info, Owner: c.Owner, Time: now, By: by,
				Summary: "a test message of veer notify test: nothing happened",
			}
			out[i] = Notified{Receiver: r.Name, Kind: r.Kind, Sent: true}
			if err := senderOf(r).Send(ctx, m); err != nil {
				out[i].Sent, out[i].Error = false, err.Error()
			}
		})
	}
	all.Wait()
	return out, nil
}
