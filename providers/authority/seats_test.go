package authority

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

// seating is what TestSeats tests: seats, or one with a fault.
type seating interface {
	take(conn net.Conn, over transport, from netip.Addr, at time.Time) *seat
	claim(s *seat, from netip.Addr, at time.Time) bool
	hear(s *seat, at time.Time)
	start(s *seat, at time.Time) bool
	expire(at time.Time, idle time.Duration) time.Duration
	leave(s *seat)
}

// fakeConn knows whether it was closed, and until when it may be read.
type fakeConn struct {
	net.Conn
	closed bool
	until  time.Time
}

func (c *fakeConn) SetDeadline(t time.Time) error { c.until = t; return nil }

func (c *fakeConn) Close() error { c.closed = true; return nil }

// sitting is what the dumb twin knows of a connection.
type sitting struct {
	conn  *fakeConn
	seat  *seat
	who   string // "": not known
	heard time.Time
	begun bool
}

// searchSeats plays connections against a list that is searched from end to
// end, until the two differ. make makes what is tested.
func searchSeats(make func(most, each int, began time.Time) seating, t *rapid.T) error {
	const idle = 2 * time.Second
	most, each := rapid.IntRange(1, 6).Draw(t, "most"), rapid.IntRange(1, 3).Draw(t, "each")
	now := epoch
	g := make(most, each, now)
	var all []*sitting // the longest silent first
	// room makes room among those that count, and reports whether it could.
	room := func(limit int, counts func(*sitting) bool) (*sitting, bool) {
		n, first := 0, (*sitting)(nil)
		for _, s := range all {
			if counts(s) {
				if n++; first == nil {
					first = s
				}
			}
		}
		if n < limit {
			return nil, true
		}
		if now.Sub(first.heard) < patience {
			return nil, false
		}
		all = slices.DeleteFunc(all, func(s *sitting) bool { return s == first })
		return first, true
	}
	admit := func(who string) ([]*sitting, bool) {
		gone, ok := room(each, func(s *sitting) bool { return s.who == who })
		return []*sitting{gone}, ok
	}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 20, 400, 1100}).Draw(t, "pause")) * time.Millisecond)
		who := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::ffff:1", "2001:db8:1::1"}).Draw(t, "who")
		addr := netip.MustParseAddr(who)
		if strings.HasPrefix(who, "2001:db8::") {
			who = "2001:db8::" // one client
		}
		act := rapid.SampledFrom([]string{"take", "take", "take proxied", "claim", "hear", "start", "expire", "leave"}).Draw(t, "act")
		var one *sitting
		if !strings.HasPrefix(act, "take") && act != "expire" {
			if len(all) == 0 {
				continue
			}
			one = rapid.SampledFrom(all).Draw(t, "one")
		}
		var gone []*sitting
		switch act {
		case "take", "take proxied":
			is := &sitting{conn: &fakeConn{}, who: who, heard: now, begun: act == "take"}
			ok, from := true, addr
			if act == "take proxied" {
				is.who, from = "", netip.Addr{}
			} else {
				gone, ok = admit(who)
			}
			if ok {
				var last *sitting
				if last, ok = room(most, func(*sitting) bool { return true }); last != nil {
					gone = append(gone, last)
				}
			}
			is.seat = g.take(is.conn, overTCP, from, now)
			if (is.seat != nil) != ok {
				return fmt.Errorf("%s of %s: seated %v, want %v", act, who, is.seat != nil, ok)
			}
			if ok {
				all = append(all, is)
			}
		case "claim":
			if one.who != "" {
				continue
			}
			var ok bool
			if gone, ok = admit(who); g.claim(one.seat, addr, now) != ok {
				return fmt.Errorf("claim for %s: want %v", who, ok)
			}
			all = slices.DeleteFunc(all, func(s *sitting) bool { return s == one })
			if ok {
				one.who, one.heard = who, now
				all = append(all, one)
			} else {
				g.leave(one.seat)
			}
		case "hear":
			if now.Sub(one.heard) < grain {
				continue
			}
			g.hear(one.seat, now)
			one.heard, one.begun = now, true
			all = append(slices.DeleteFunc(all, func(s *sitting) bool { return s == one }), one)
		case "start":
			if !g.start(one.seat, now) {
				return errors.New("start: a connection has no seat")
			}
			one.heard, one.begun = now, true
			all = append(slices.DeleteFunc(all, func(s *sitting) bool { return s == one }), one)
		case "expire":
			var over []*sitting
			wait := idle
			for _, s := range all {
				if left := s.heard.Add(idle).Sub(now); s.begun && left > 0 {
					wait = max(left, grain)
					break
				} else if s.begun {
					over = append(over, s)
				}
			}
			if got := g.expire(now, idle); got != wait {
				return fmt.Errorf("expire: looks again after %s, want %s", got, wait)
			}
			for _, s := range over {
				if s.conn.until.IsZero() || s.conn.closed {
					return fmt.Errorf("expire: until %s, closed %t, want an end", s.conn.until, s.conn.closed)
				}
				if s.conn.until = (time.Time{}); g.start(s.seat, now) {
					return errors.New("expire: a connection whose seat was taken may go on")
				}
			}
			all = slices.DeleteFunc(all, func(s *sitting) bool { return slices.Contains(over, s) })
		case "leave":
			g.leave(one.seat)
			all = slices.DeleteFunc(all, func(s *sitting) bool { return s == one })
		}
		for _, s := range gone {
			if s != nil && !s.conn.closed {
				return fmt.Errorf("%s: a connection was to give way, and has not", act)
			}
		}
		for _, s := range all {
			if s.conn.closed || !s.conn.until.IsZero() {
				return fmt.Errorf("%s: a connection of %q gave way that was not to", act, s.who)
			}
		}
	}
	return nil
}

// Faults of seats.
type (
	deaf   struct{ *seats } // hears nothing
	greedy struct{ *seats } // never gives a seat back
	blind  struct{ *seats } // takes all for one client
	fickle struct{ *seats } // lets the newest give way
	stern  struct{ *seats } // ends who is silent too soon
	mild   struct{ *seats } // lets who was ended go on
	rash   struct{ *seats } // ends who has not begun
)

func (deaf) hear(*seat, time.Time)              {}
func (m mild) start(s *seat, at time.Time) bool { m.seats.start(s, at); return true }
func (s stern) expire(at time.Time, idle time.Duration) time.Duration {
	return s.seats.expire(at.Add(grain), idle) + grain
}
func (r rash) take(conn net.Conn, over transport, from netip.Addr, at time.Time) *seat {
	s := r.seats.take(conn, over, from, at)
	if s != nil {
		s.begun = true
	}
	return s
}
func (greedy) leave(*seat) {}
func (b blind) take(conn net.Conn, over transport, _ netip.Addr, at time.Time) *seat {
	return b.seats.take(conn, over, netip.IPv4Unspecified(), at)
}

func (f fickle) take(conn net.Conn, over transport, from netip.Addr, at time.Time) *seat {
	s := f.seats.take(conn, over, from, at)
	if s != nil && f.all.size > 1 {
		f.all.remove(&s.among)
		l, q := &s.among, &f.all
		l.prev, l.next = &q.root, q.root.next
		l.next.prev, q.root.next = l, l
		q.size++
	}
	return s
}

// TestSeats: a dumb twin and seats agree on who is seated, and on who gives way;
// and the search sees faults.
func TestSeats(t *testing.T) {
	at := func(g *seats, began time.Time) *seats {
		g.began = began
		return g
	}
	rapid.Check(t, func(rt *rapid.T) {
		if err := searchSeats(func(most, each int, began time.Time) seating { return at(newSeats(most, each), began) }, rt); err != nil {
			rt.Fatal(err)
		}
	})
	for name, wrong := range map[string]func(g *seats) seating{
		"deaf":             func(g *seats) seating { return deaf{g} },
		"greedy":           func(g *seats) seating { return greedy{g} },
		"blind":            func(g *seats) seating { return blind{g} },
		"fickle":           func(g *seats) seating { return fickle{g} },
		"stern":            func(g *seats) seating { return stern{g} },
		"mild":             func(g *seats) seating { return mild{g} },
		"rash":             func(g *seats) seating { return rash{g} },
		"one more":         func(g *seats) seating { g.most++; return g },
		"one more of each": func(g *seats) seating { g.each++; return g },
		"hasty":            func(g *seats) seating { g.patience = 0; return g },
	} {
		search := rapid.Custom(func(rt *rapid.T) error {
			return searchSeats(func(most, each int, began time.Time) seating { return wrong(at(newSeats(most, each), began)) }, rt)
		})
		var found error
		for seed := 0; seed < 1000 && found == nil; seed++ {
			found = search.Example(seed)
		}
		if found == nil {
			t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
			continue
		}
		t.Logf("%s: %v", name, found)
	}
}

// TestTooFewDescriptors: the system's limit is told, and kept.
func TestTooFewDescriptors(t *testing.T) {
	for _, c := range []struct {
		limit uint64
		most  int
	}{{0, 1000}, {1256, 1000}, {1255, 999}, {400, 200}, {1024, 768}} {
		var log bytes.Buffer
		s := newServer(t, exampleConfig(), Options{Log: zerolog.New(&log)})
		log.Reset()
		s.fitSeats(c.limit)
		if s.seats.most != c.most {
			t.Errorf("of %d descriptors %d are for connections, want %d", c.limit, s.seats.most, c.most)
		}
		if told := strings.Contains(log.String(), "raise its limit to 1256 or more"); told != (c.most < 1000) {
			t.Errorf("of %d descriptors the log says %q", c.limit, log.String())
		}
	}
	if limit := descriptors(); limit == 0 {
		t.Error(errors.New("the limit of this system is not known"))
	}
}
