package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// place is a receiver that fails as it is told to.
type place struct {
	mu    sync.Mutex
	fails []error // of the next tries; then it takes all
	stuck chan struct{}
	got   []string
	at    []time.Time
}

func (p *place) Send(ctx context.Context, m Message) error {
	if p.stuck != nil {
		select {
		case <-p.stuck:
		case <-ctx.Done():
			return failure(false, "it was broken off")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = append(p.at, time.Now())
	if len(p.fails) > 0 {
		err := p.fails[0]
		p.fails = p.fails[1:]
		return err
	}
	p.got = append(p.got, m.ID)
	return nil
}

type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) count(receiver, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[receiver+" "+outcome]++
}

// couriers runs a courier with receivers; every message goes to all of them.
func couriers(t *testing.T, queue int, places map[string]*place) (*Courier, *counts, *bytes.Buffer) {
	o := deskOptions()
	o.Wants = map[string][]Event{}
	c := &counts{n: map[string]int{}}
	log := &bytes.Buffer{}
	co := CourierOptions{Senders: map[string]Sender{}, Queues: map[string]int{}, Log: zerolog.New(zerolog.SyncWriter(log)), Count: c.count}
	for name, p := range places {
		o.Wants[name] = Events()
		co.Senders[name], co.Queues[name] = p, queue
	}
	courier := NewCourier(NewDesk(o, State{}, time.Now()), co)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { courier.Run(ctx) })
	t.Cleanup(func() { cancel(); all.Wait() })
	return courier, c, log
}

func post(c *Courier, ids ...string) {
	c.Do(func(d *Desk) {
		for _, id := range ids {
			d.Post(Message{ID: id, Event: Operator, Time: time.Now(), Summary: id})
		}
		d.Kept()
	})
}

// TestOrderAndRetries: messages come in order, one that fails is tried again
// after pauses that grow, and nobody waits for another receiver.
func TestOrderAndRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := &place{}, &place{fails: []error{failure(false, "503"), &Failure{After: time.Minute}, failure(false, "503")}}
		c, n, _ := couriers(t, 10, map[string]*place{"good": good, "bad": bad})
		post(c, "a", "b")
		synctest.Wait()
		if !slices.Equal(good.got, []string{"a", "b"}) || len(bad.got) != 0 || c.Waiting()["bad"] != 2 {
			t.Errorf("good has %v, bad %v, waiting %v", good.got, bad.got, c.Waiting())
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if !slices.Equal(bad.got, []string{"a", "b"}) || c.Waiting()["bad"] != 0 {
			t.Errorf("bad has %v", bad.got)
		}
		if gap := bad.at[2].Sub(bad.at[1]); gap < time.Minute {
			t.Errorf("it came again after %s, though it was asked to wait for 1m", gap)
		}
		if n.n["bad failed"] != 3 || n.n["bad sent"] != 2 || n.n["good sent"] != 2 || n.n["bad dropped"] != 0 {
			t.Errorf("counted %v", n.n)
		}
	})
}

// slow takes what it was given in time, but only says so at the end.
type slow struct{}

func (slow) Send(ctx context.Context, _ Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// TestTakenAtTheEnd: what a receiver took while the courier ended is not left to
// be brought again.
func TestTakenAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := deskOptions()
		o.Wants = map[string][]Event{"slow": Events()}
		c := NewCourier(NewDesk(o, State{}, time.Now()), CourierOptions{
			Senders: map[string]Sender{"slow": slow{}}, Queues: map[string]int{"slow": 10}, Log: zerolog.Nop(), Count: func(string, string) {},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { c.Run(ctx) })
		post(c, "a", "b")
		synctest.Wait()
		cancel()
		all.Wait()
		if n := c.Waiting()["slow"]; n != 1 {
			t.Errorf("%d messages are left, want the second alone", n)
		}
	})
}

// TestDrops: what would never be taken, what is too old and the oldest of too
// many are dropped, counted and logged; posting never waits.
func TestDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuses := &place{fails: []error{failure(true, "status 400")}}
		c, n, log := couriers(t, 10, map[string]*place{"refuses": refuses})
		post(c, "a", "b")
		synctest.Wait()
		if !slices.Equal(refuses.got, []string{"b"}) || n.n["refuses dropped"] != 1 || !strings.Contains(log.String(), `"id":"a"`) || !strings.Contains(log.String(), "status 400") {
			t.Errorf("got %v, counted %v, logged %s", refuses.got, n.n, log)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		never := &place{}
		for range 10_000 {
			never.fails = append(never.fails, errors.New("down"))
		}
		c, n, _ := couriers(t, 10, map[string]*place{"never": never})
		post(c, "a")
		time.Sleep(giveUp + time.Hour)
		synctest.Wait()
		if n.n["never dropped"] != 1 || len(never.at) > 400 {
			t.Errorf("counted %v after %d tries", n.n, len(never.at))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		stuck := &place{stuck: make(chan struct{})}
		c, n, log := couriers(t, 5, map[string]*place{"stuck": stuck})
		var ids []string
		for i := range 8 {
			ids = append(ids, fmt.Sprint("m", i))
		}
		post(c, ids...)
		synctest.Wait()
		if c.Waiting()["stuck"] != 5 || n.n["stuck dropped"] != 3 || !strings.Contains(log.String(), "too many") {
			t.Errorf("waiting %v, counted %v, logged %s", c.Waiting(), n.n, log)
		}
		close(stuck.stuck)
		synctest.Wait()
		if got := stuck.got[len(stuck.got)-5:]; !slices.Equal(got, ids[3:]) {
			t.Errorf("it got %v, expected the newest in the end", stuck.got)
		}
	})
}

// TestNothingIsSentThatTheLedgerHasNot: so that the next leader can bring what
// this one did not.
func TestNothingIsSentThatTheLedgerHasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		c, _, _ := couriers(t, 5, map[string]*place{"p": p})
		c.Do(func(d *Desk) { d.Post(Message{ID: "a", Event: Operator, Time: time.Now()}) })
		synctest.Wait()
		if len(p.at) != 0 {
			t.Error("sent before it was kept")
		}
		c.Do(func(d *Desk) { d.Kept() })
		synctest.Wait()
		if !slices.Equal(p.got, []string{"a"}) {
			t.Errorf("got %v", p.got)
		}
	})
}
