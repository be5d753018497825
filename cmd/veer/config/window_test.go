package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWindow(t *testing.T) {
	weekdays := Days{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
	night := Window{Days: weekdays, From: 2 * 60, To: 5 * 60, Location: "Europe/Paris"}
	over := Window{Days: Days{time.Friday}, From: 22 * 60, To: 4 * 60, Location: "UTC"}
	always := Window{Days: Days{0, 1, 2, 3, 4, 5, 6}, From: 0, To: dayEnd, Location: "UTC"}
	for _, tt := range []struct {
		name   string
		w      Window
		now    string
		open   bool
		change time.Duration
	}{
		{"before it opens", night, "2026-03-02T00:59:00Z", false, time.Minute}, // 01:59 in Paris
		{"as it opens", night, "2026-03-02T01:00:00Z", true, 3 * time.Hour},
		{"as it closes", night, "2026-03-02T04:00:00Z", false, 21 * time.Hour},
		{"over the weekend", night, "2026-03-07T12:00:00Z", false, 37 * time.Hour},
		{"in summer an hour earlier", night, "2026-06-01T00:00:00Z", true, 3 * time.Hour},
		{"past midnight, on the next day", over, "2026-03-07T03:59:00Z", true, time.Minute},
		{"not before its day", over, "2026-03-06T03:00:00Z", false, 19 * time.Hour},
		{"a week ahead", over, "2026-03-07T04:00:00Z", false, 6*24*time.Hour + 18*time.Hour},
		{"always", always, "2026-03-07T00:00:00Z", true, 0},
		// On 29 March 2026 the clocks in Paris go from 02:00 to 03:00.
		{"the night the clocks go forward", Window{Days: Days{time.Sunday}, From: 60, To: 4 * 60, Location: "Europe/Paris"}, "2026-03-29T00:00:00Z", true, 2 * time.Hour},
	} {
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		if open, change := tt.w.At(now); open != tt.open || change != tt.change {
			t.Errorf("%s: open %v, change in %s; expected %v, %s", tt.name, open, change, tt.open, tt.change)
		}
	}
}

// TestWindowByMinute compares At with a look at the clock, minute by minute.
func TestWindowByMinute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Window{
			Days:     Days(rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, 6), func(d int) time.Weekday { return time.Weekday(d) }), 1, 7, rapid.ID).Draw(t, "days")),
			From:     Clock(rapid.IntRange(0, 1439).Draw(t, "from")),
			Location: "UTC",
		}
		w.To = Clock(rapid.IntRange(0, 1439).Draw(t, "to"))
		if w.To == w.From { // refused by Load
			w.To++
		}
		now := time.Date(2026, 1, 1, 0, rapid.IntRange(0, 20_000).Draw(t, "minute"), 0, 0, time.UTC)
		open, change := w.At(now)
		if want := w.dumb(now); open != want {
			t.Fatalf("at %s open is %v", now, open)
		}
		if change == 0 {
			change = 8 * 24 * time.Hour
		} else if w.dumb(now.Add(change)) == open {
			t.Fatalf("at %s nothing changes in %s", now, change)
		}
		for at := now; at.Before(now.Add(change)); at = at.Add(time.Minute) {
			if w.dumb(at) != open {
				t.Fatalf("it changed at %s, before %s", at, now.Add(change))
			}
		}
	})
}

// dumb says whether a window in UTC is open, from the day and the minute.
func (w Window) dumb(at time.Time) bool {
	on := func(d time.Weekday) bool {
		for _, day := range w.Days {
			if day == d {
				return true
			}
		}
		return false
	}
	minute := Clock(at.Hour()*60 + at.Minute())
	if w.To > w.From {
		return on(at.Weekday()) && minute >= w.From && minute < w.To
	}
	return on(at.Weekday()) && minute >= w.From || on((at.Weekday()+6)%7) && minute < w.To
}

func TestCalendar(t *testing.T) {
	c := load(t, read(t, "testdata/full.yaml"))
	at := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC) // a Thursday, 13:00 in Paris
	got := c.Calendar(at)
	if len(got.Closed) != 1 || got.Closed[0] != "app.example.test." || got.Change != 2*24*time.Hour+9*time.Hour {
		t.Errorf("calendar %+v", got)
	}
	if open := c.Calendar(at.Add(got.Change)); len(open.Closed) != 0 || open.Change != 7*time.Hour {
		t.Errorf("then %+v", open)
	}
}
