package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
)

// Times of the notifications.
const (
	noticeTick  = 250 * time.Millisecond
	noticeZones = 2 * time.Second
	// noticeKeep is how often the ledger is told how far the notifications are
	// while there is nothing to send.
	noticeKeep = time.Second
	// noticeApart bounds how long a message of a takeover is tried by a process
	// that does not lead.
	noticeApart = time.Hour
)

// noticeSlip is where the ledger keeps how far the notifications are.
const noticeSlip = "notifications"

// notices carry what a process notes for whoever leads.
type notices struct {
	fenced chan controller.Written
	// apart are messages of a process that does not lead, and has to tell all
	// the same.
	apart chan notify.Message
}

func newNotices() notices {
	return notices{make(chan controller.Written, 8), make(chan notify.Message, 4)}
}

// keptNotices are what the next leader goes on from.
type keptNotices struct {
	Leader string        `json:"leader"`
	Place  cluster.Place `json:"place"`
	State  notify.State  `json:"state"`
}

// startNotifications tells the receivers, if there are any, while this process
// leads.
func (d *daemon) startNotifications() {
	d.parts.start("notices", d.noteFacts)
	d.parts.start("notifications", d.notifies)
}

// notifies waits until this process leads, and then tells, again and again.
func (d *daemon) notifies(ctx context.Context) error {
	tick := time.NewTicker(noticeTick)
	defer tick.Stop()
	log := d.o.Log.With().Str("part", "notifications").Logger()
	for {
		if c := d.controller.Load(); c != nil && c.Leads() && d.notifiesAnybody() {
			if err := d.notifyLeading(ctx, c, log); err != nil && ctx.Err() == nil {
				log.Warn().Err(err).Msg("notifications begin again from what the ledger has")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *daemon) notifiesAnybody() bool { return len(d.config().Notifications.Receivers) > 0 }

// notifiesApart tells of what happens where nobody can lead. Every process does
// it, and before it has joined the cluster.
func (d *daemon) notifiesApart(ctx context.Context) error {
	log := d.o.Log.With().Str("part", "notifications").Logger()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-d.notices.apart:
			all.Go(func() { d.notifyApart(ctx, m, log) })
		}
	}
}

// notifyApart brings one message without the ledger.
func (d *daemon) notifyApart(ctx context.Context, m notify.Message, log zerolog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, noticeApart)
	defer cancel()
	desk := notify.NewDesk(d.deskOptions("apart"), notify.State{}, time.Now())
	desk.Post(m)
	desk.Kept()
	bring(ctx, notify.NewCourier(desk, d.courierOptions(log)))
}

// bring brings what a courier has until that is nothing, or ctx ends.
func bring(ctx context.Context, courier *notify.Courier) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { courier.Run(ctx) })
	for {
		waiting := 0
		for _, n := range courier.Waiting() {
			waiting += n
		}
		if waiting == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-courier.Done():
		}
	}
}

func (d *daemon) deskOptions(id string) notify.Options {
	c := d.config()
	o := notify.Options{Owner: c.Owner, Group: c.Notifications.Group, Wants: map[string][]notify.Event{}, ID: id}
	for _, r := range c.Notifications.Receivers {
		o.Wants[r.Name] = r.Common().Wants(r.Kind)
	}
	return o
}

func (d *daemon) courierOptions(log zerolog.Logger) notify.CourierOptions {
	o := notify.CourierOptions{Senders: map[string]notify.Sender{}, Queues: map[string]int{}, Log: log, Count: d.metrics.Notified}
	for _, r := range d.config().Notifications.Receivers {
		o.Senders[r.Name], o.Queues[r.Name] = senderOf(r), r.Common().QueueOr()
	}
	return o
}

// senderOf makes the sender of a receiver.
func senderOf(r config.Receiver) notify.Sender {
	switch {
	case r.Webhook != nil:
		return notify.NewWebhook(*r.Webhook)
	case r.Slack != nil:
		return notify.NewSlack(*r.Slack)
	case r.PagerDuty != nil:
		return notify.NewPagerDuty(*r.PagerDuty)
	}
	return notify.NewEmail(*r.Email) // the config has refused every other kind
}

// noticeReign is the telling of one leadership.
type noticeReign struct {
	d       *daemon
	c       *controller.Controller
	config  *config.Config
	log     zerolog.Logger
	courier *notify.Courier
	stop    func() // ends the courier, and waits for it
	leader  string // of whom the receivers know that it leads; "": of none
	place   cluster.Place
	rev     controller.Revision
	dirty   bool
	kept    time.Time
	zones   time.Time
}

// notifyLeading tells while this process leads: it goes on from what the
// ledger has, follows the journal, and keeps in the ledger what is to be sent
// before it is sent.
func (d *daemon) notifyLeading(ctx context.Context, c *controller.Controller, log zerolog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &noticeReign{d: d, c: c, config: d.config(), log: log}
	if err := r.begin(ctx); err != nil {
		return err
	}
	d.courier.Store(r.courier)
	defer d.courier.Store(nil)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	records, ended := make(chan cluster.Record), make(chan error, 1)
	from := r.place
	carrying, stop := context.WithCancel(ctx)
	var carried sync.WaitGroup
	carried.Go(func() { r.courier.Run(carrying) })
	r.stop = func() { stop(); carried.Wait() }
	defer r.stop()
	all.Go(func() {
		ended <- d.joined.Tail(ctx, from, func(rec cluster.Record) error {
			select {
			case records <- rec:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	return r.run(ctx, records, ended)
}

// begin takes over what the leader before left, and tells that there is another
// leader now.
func (r *noticeReign) begin(ctx context.Context) error {
	if err := r.resume(ctx, r.d.deskOptions(cluster.NewOrderID(time.Now()))); err != nil {
		return err
	}
	was, name := r.leader, string(r.d.c.Host.Region)
	if r.leader = name; was != "" && was != name {
		_, term, _, err := r.d.joined.Leading(ctx)
		if err != nil {
			return err
		}
		r.courier.Do(func(d *notify.Desk) { d.Leads(name, term, time.Now()) })
	}
	return r.see(ctx)
}

// resume takes over what the leader before left.
func (r *noticeReign) resume(ctx context.Context, o notify.Options) error {
	cl := r.d.joined
	raw, rev, err := cl.Slip(ctx, noticeSlip)
	var bad *cluster.ValueError
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	here, err := cl.Now(ctx)
	if err != nil {
		return err
	}
	var was keptNotices
	switch {
	case raw == nil:
		was.Place = here // what happened before there were notifications is not news
	default:
		if err = json.Unmarshal(raw, &was); err == nil {
			err = was.State.Check()
		}
		if err != nil || was.Place.Cluster != here.Cluster {
			r.log.Warn().Err(err).Msg("what the leader before left of notifications does not count: the ledger is another one, or it cannot be read")
			was = keptNotices{Place: here}
		}
	}
	r.courier = notify.NewCourier(notify.NewDesk(o, was.State, time.Now()), r.d.courierOptions(r.log))
	r.leader, r.place, r.rev, r.dirty = was.Leader, was.Place, rev, true
	return nil
}

// see compares what is open with the ledger: decisions may have been missed.
func (r *noticeReign) see(ctx context.Context) error {
	shards, err := r.d.joined.Shards(ctx)
	if err != nil && len(shards) == 0 {
		return err
	}
	r.courier.Do(func(d *notify.Desk) {
		for _, s := range shards {
			d.See(s.State, time.Now())
		}
	})
	return nil
}

func (r *noticeReign) run(ctx context.Context, records <-chan cluster.Record, ended <-chan error) error {
	tick := time.NewTicker(noticeTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.end(context.WithoutCancel(ctx))
		case err := <-ended:
			return err
		case rec := <-records:
			if err := r.take(ctx, rec); err != nil {
				return err
			}
		case <-r.courier.Done():
			r.dirty = true
		case <-tick.C:
			if !r.c.Leads() {
				return nil
			}
			if r.d.config() != r.config { // a reload: it begins again with what that says
				return r.end(ctx)
			}
			if err := r.tick(ctx); err != nil {
				return err
			}
		}
	}
}

// take notes a record of the journal.
func (r *noticeReign) take(ctx context.Context, rec cluster.Record) error {
	now := time.Now()
	r.place, r.dirty = rec.Place, true
	switch {
	case rec.Anew:
		// What is in it was told when it happened, or is too old to be told.
		here, err := r.d.joined.Now(ctx)
		if err != nil {
			return err
		}
		r.place = here
		return errors.Join(r.see(ctx), r.keep(ctx), errors.New("the ledger is another one"))
	case rec.Entry != nil:
		r.courier.Do(func(d *notify.Desk) { d.Take(*rec.Entry, now) })
	case rec.Note != nil:
		act := notify.Act{Time: rec.Note.Time, Act: rec.Note.Act, By: rec.Note.By, Why: rec.Note.Why}
		if o := rec.Note.Order; o != nil {
			act.Order = orderText(*o, rec.Note.Time)
		}
		r.courier.Do(func(d *notify.Desk) { d.Note(act, now) })
	default:
		r.log.Warn().Str("why", rec.Gap).Msg("notifications may lack something")
		return r.see(ctx)
	}
	return nil
}

// orderText is an order as people say it.
func orderText(o controller.Order, at time.Time) string {
	text := string(o.Act) + " of " + targetText(o.Target)
	if o.Until.IsZero() {
		return text
	}
	if left := o.Until.Sub(at).Round(time.Second); left > 0 {
		return text + " for " + left.String()
	}
	return text
}

// tick makes what is due into messages, and has the ledger keep them.
func (r *noticeReign) tick(ctx context.Context) error {
	now := time.Now()
	due := false
	r.courier.Do(func(d *notify.Desk) {
		if now.Sub(r.zones) >= noticeZones {
			r.zones = now
			d.Zones(zoneFacts(r.c.Zones()), now)
		}
		if at := d.Due(); !at.IsZero() && !at.After(now) {
			r.courier.Drop(d.Flush(now))
			due = true
		}
	})
	if due || r.dirty && now.Sub(r.kept) >= noticeKeep {
		return r.keep(ctx)
	}
	return nil
}

// end keeps what is left when nobody brings any more of it: who goes on from it
// brings nothing again that is known to have come.
func (r *noticeReign) end(ctx context.Context) error {
	r.stop()
	return r.keep(ctx)
}

// keep puts the state into the ledger; what it has may be sent.
func (r *noticeReign) keep(ctx context.Context) error {
	var state notify.State
	r.courier.Do(func(d *notify.Desk) { state = d.State() })
	raw, err := json.Marshal(keptNotices{r.leader, r.place, state})
	if err != nil {
		return fmt.Errorf("keeping the notifications: %w", err)
	}
	rev, err := r.d.joined.PutSlip(ctx, noticeSlip, raw, r.rev)
	if err != nil {
		return err
	}
	r.rev, r.dirty, r.kept = rev, false, time.Now()
	r.courier.Do(func(d *notify.Desk) { d.Kept() })
	return nil
}

func zoneFacts(zones []controller.ZoneState) []notify.ZoneFact {
	out := make([]notify.ZoneFact, 0, len(zones))
	for _, z := range zones {
		f := notify.ZoneFact{Zone: short(z.Zone) + " at " + z.Provider, State: string(z.State), Why: z.Error, Since: z.Since}
		switch z.State {
		case controller.ZoneOK:
			f.OK = true
		case controller.ZoneRefused, controller.ZoneGuarded, controller.ZoneReadOnly:
			f.Held = true
		}
		out = append(out, f)
	}
	return out
}
