package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/regions/steering"
)

func (r *reign) observeCalendar(now time.Duration) {
	c := r.o.Calendar(time.Now())
	slices.Sort(c.Closed)
	for _, s := range r.o.Policy.Services {
		_, was := slices.BinarySearch(r.calendar.Closed, s.Name)
		_, is := slices.BinarySearch(c.Closed, s.Name)
		if was == is {
			continue
		}
		sh := r.shards[steering.ShardOf(s.Name)]
		sh.dirty = true
		if r.calendarAt == 0 {
			continue // the first look of this reign
		}
		word := map[bool]string{true: "closed", false: "opened"}[is]
		sh.causes.add(fmt.Sprintf("failback window of %s %s", s.Name, word))
	}
	r.calendar = c
	r.calendarAt, r.calendarChange = now+wallCheck, 0
	if c.Change > 0 {
		r.calendarChange = now + c.Change
		r.calendarAt = min(r.calendarAt, r.calendarChange)
	}
}

// observeOrders compares the overrides in force with those before.
func (r *reign) observeOrders(orders []Order, now time.Duration) {
	wall := time.Now()
	inForce := make(map[string]Order, len(orders))
	r.expiryAt = 0
	for _, o := range orders {
		if o.Until.IsZero() {
			inForce[o.ID] = o
			continue
		}
		left := o.Until.Round(0).Sub(wall.Round(0))
		if left <= 0 {
			continue
		}
		inForce[o.ID] = o
		at := now + min(left, wallCheck)
		if r.expiryAt == 0 || at < r.expiryAt {
			r.expiryAt = at
		}
	}
	listed := make(map[string]bool, len(orders))
	for _, o := range orders {
		listed[o.ID] = true
	}
	for id, o := range inForce {
		if was, ok := r.orders[id]; !ok || !sameOrder(was, o) {
			r.touch(o.Target, fmt.Sprintf("override %s by %s", o.Act, o.By))
		}
	}
	for id, o := range r.orders {
		if _, ok := inForce[id]; ok {
			continue
		}
		word := "ended"
		if listed[id] || !o.Until.IsZero() && !o.Until.Round(0).After(wall.Round(0)) {
			word = "expired"
		}
		r.touch(o.Target, fmt.Sprintf("override %s by %s %s", o.Act, o.By, word))
	}
	r.orders = inForce
}

func sameOrder(a, b Order) bool {
	a.Left, b.Left = 0, 0
	return a.Override == b.Override && a.Until.Equal(b.Until)
}

// touch marks the shards that an override is about.
func (r *reign) touch(t steering.Target, why string) {
	for _, sh := range r.shards {
		if t.Service != "" && steering.ShardOf(t.Service) != sh.id || !sh.known() {
			continue
		}
		sh.dirty = true
		sh.causes.add(why)
	}
}

// overrides are those in force that may be about the shard, sorted by ID, with
// the time left.
func (r *reign) overrides(sh *shard) []steering.Override {
	wall := time.Now().Round(0)
	var out []steering.Override
	for _, o := range r.orders {
		if o.Target.Service != "" && steering.ShardOf(o.Target.Service) != sh.id {
			continue
		}
		ov := o.Override
		ov.Left = 0
		if !o.Until.IsZero() {
			ov.Left = o.Until.Round(0).Sub(wall)
			if ov.Left <= 0 {
				continue
			}
		}
		out = append(out, ov)
	}
	slices.SortFunc(out, func(a, b steering.Override) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// removeExpired clears overrides that have ended out of the ledger. A failure
// is tried again later; it holds nothing up.
func (r *reign) removeExpired(ctx context.Context, view View) {
	wall, now := time.Now().Round(0), r.now()
	for _, o := range view.Overrides {
		if o.Until.IsZero() || o.Until.Round(0).After(wall) || now < r.removeAt[o.ID] {
			continue
		}
		r.removeAt[o.ID] = now + wallCheck
		ctx, cancel := context.WithTimeout(ctx, commitTimeout)
		err := r.o.Ledger.RemoveOrder(ctx, r.lead, o.ID)
		cancel()
		if errors.Is(err, ErrNotLeader) {
			r.depose(err)
			return
		}
		if err != nil {
			r.o.Log.Warn().Err(err).Str("order", o.ID).Msg("cannot remove an expired override, trying again")
		}
	}
}

// calendarOf is the part of the calendar about the shard's services.
func (r *reign) calendarOf(sh *shard, now time.Duration) steering.Calendar {
	var c steering.Calendar
	for _, s := range sh.services {
		if _, closed := slices.BinarySearch(r.calendar.Closed, s.Name); closed {
			c.Closed = append(c.Closed, s.Name)
		}
	}
	if r.calendarChange > 0 {
		c.Change = max(r.calendarChange-now, 1)
	}
	return c
}
