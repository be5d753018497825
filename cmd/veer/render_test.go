package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

func TestPages(t *testing.T) {
	changed := decided(t)
	changed.Decision.Answers[0].TTL++
	changed.Version = "v0.1.0"
	d := &fake{status: healthy(), explain: explained(), entries: []steering.Entry{decided(t)}}
	for _, c := range []struct {
		golden string
		daemon *fake
		args   []string
		code   int
	}{
		{"status-ok.txt", d, []string{"status"}, exitDone},
		{"status-degraded.txt", &fake{status: degraded()}, []string{"status"}, exitDegraded},
		{"status-traffic.txt", &fake{status: asked()}, []string{"status"}, exitDone},
		{"status-empty.txt", &fake{}, []string{"status"}, exitDone},
		{"explain.txt", d, []string{"explain", "app.example.test"}, exitDone},
		{"replay-same.txt", d, []string{"journal", "--replay"}, exitDone},
		{"replay-other-version.txt", &fake{entries: []steering.Entry{changed}}, []string{"journal", "--replay"}, exitDone},
		{"journal-empty.txt", &fake{}, []string{"journal"}, exitDone},
		{"journal-orders.txt", &fake{notes: noted()}, []string{"journal", "--orders"}, exitDone},
		{"journal-orders-empty.txt", &fake{}, []string{"journal", "--orders"}, exitDone},
		{"journal-all-empty.txt", &fake{}, []string{"journal", "--all"}, exitDone},
	} {
		t.Run(c.golden, func(t *testing.T) {
			s := newSession(c.daemon, "", nil)
			if code := s.veer(t, c.args...); code != c.code {
				t.Errorf("exit code %d, expected %d; %s", code, c.code, s.stderr.String())
			}
			golden(t, c.golden, s.stdout.String())
		})
	}
}

func TestJournalLine(t *testing.T) {
	s := newSession(&fake{entries: []steering.Entry{decided(t)}}, "", nil)
	if code := s.veer(t, "journal", "APP.example.test"); code != exitDone {
		t.Fatalf("exit code %d: %s", code, s.stderr.String())
	}
	want := "2026-11-20T11:56:50.000Z  7.41  app.example.test  192.0.2.10 -> 198.51.100.10  verdict on web@192.0.2.10  [depart]\n"
	if diff := cmp.Diff(want, s.stdout.String()); diff != "" {
		t.Error(diff)
	}
}

// A decision that moved nothing names what it was about: the services whose
// state it changed, or all when only a timer ran; at most three by name.
func TestJournalLinesThatMovedNothing(t *testing.T) {
	first := decided(t)
	in := first.Input
	in.Policy.Services, in.Verdicts = slices.Clone(in.Policy.Services), slices.Clone(in.Verdicts)
	in.Policy.Services[0].Hold = time.Hour
	other := in.Policy.Services[0]
	other.Pools = slices.Clone(other.Pools)[1:] // not about eu-west's endpoint
	for _, name := range []string{"b.example.test.", "c.example.test.", "d.example.test."} {
		other.Name = name
		in.Policy.Services = append(in.Policy.Services, other)
	}
	in.Prev = steering.Decide(in).Next // after the move
	in.Verdicts[0].Health = checks.Up
	in.Now++
	verdict, timer := first, first
	verdict.Seq, verdict.Input, verdict.Decision = 42, in, steering.Decide(in)
	in.Prev = verdict.Decision.Next
	timer.Seq, timer.Cause, timer.Input, timer.Decision = 43, "a timer ended", in, steering.Decide(in)
	d := &fake{entries: []steering.Entry{first, verdict, timer}}
	var text strings.Builder
	for _, args := range [][]string{{"journal", "--all"}, {"journal", "b.example.test", "-a"}} {
		s := newSession(d, "", nil)
		if code := s.veer(t, args...); code != exitDone {
			t.Fatalf("exit code %d: %s", code, s.stderr.String())
		}
		fmt.Fprintf(&text, "$ veer %s\n%s", strings.Join(args, " "), s.stdout.String())
	}
	const want = `$ veer journal --all
2026-11-20T11:56:50.000Z  7.41  app.example.test  192.0.2.10 -> 198.51.100.10  verdict on web@192.0.2.10  [depart]
2026-11-20T11:56:50.000Z  7.42  app.example.test  stays 198.51.100.10  verdict on web@192.0.2.10  [keep]
2026-11-20T11:56:50.000Z  7.43  app.example.test, b.example.test, c.example.test and 1 more  stay as they are  a timer ended  [keep]
$ veer journal b.example.test -a
2026-11-20T11:56:50.000Z  7.41  b.example.test  stays nothing  verdict on web@192.0.2.10  [none]
2026-11-20T11:56:50.000Z  7.42  b.example.test  stays 198.51.100.10  verdict on web@192.0.2.10  [keep]
2026-11-20T11:56:50.000Z  7.43  b.example.test  stays 198.51.100.10  a timer ended  [keep]
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
	newSession(d, "", nil).veer(t, "journal")
	newSession(d, "", nil).veer(t, "journal", "--replay")
	if diff := cmp.Diff([]string{"journal  false", "journal b.example.test. false", "journal  true", "journal  false"}, d.asked); diff != "" {
		t.Error(diff)
	}
}

func TestReplayOfTheSameVersionMustAgree(t *testing.T) {
	e := decided(t)
	e.Decision.Answers[0].TTL++
	s := newSession(&fake{entries: []steering.Entry{decided(t), e}}, "", nil)
	if code := s.veer(t, "journal", "--replay"); code != exitFailed {
		t.Errorf("exit code %d, expected %d", code, exitFailed)
	}
	if text := s.stdout.String(); !strings.Contains(text, "answers[0].ttl: was 31, is 30") {
		t.Errorf("the difference is not shown:\n%s", text)
	}
}

// What -o json prints must come back as what the daemon said.
func TestJSONIsWhatTheDaemonSaid(t *testing.T) {
	s := newSession(&fake{status: degraded()}, "", nil)
	if code := s.veer(t, "status", "-o", "json"); code != exitDegraded {
		t.Errorf("exit code %d, expected %d", code, exitDegraded)
	}
	var got api.Status
	if err := json.Unmarshal(s.stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(degraded(), got); diff != "" {
		t.Error(diff)
	}
}

func TestWatchRedraws(t *testing.T) {
	tick := make(chan time.Time, 1)
	tick <- noon()
	ctx, cancel := contextFor(t)
	d := &fake{status: healthy()}
	d.onAsk = func() {
		if len(d.asked) == 3 {
			cancel()
			return
		}
		select {
		case tick <- noon():
		default:
		}
	}
	s := newSession(d, "", nil)
	s.plain = false
	if err := s.watch(ctx, d, tick); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.stdout.String(), "\x1b[H\x1b[2J"); n != 2 {
		t.Errorf("drawn %d times, expected 2", n)
	}
}

func TestColoursOnlyOnTerminals(t *testing.T) {
	for _, plain := range []bool{true, false} {
		s := newSession(&fake{status: degraded()}, "", nil)
		s.plain = plain
		s.veer(t, "status")
		if has := strings.Contains(s.stdout.String(), "\x1b["); has == plain {
			t.Errorf("plain %v: escapes %v", plain, has)
		}
	}
}

func TestShortDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0ms", 850 * time.Millisecond: "850ms", 1250 * time.Millisecond: "1.2s",
		59 * time.Second: "59s", 190 * time.Second: "3m10s", 2 * time.Hour: "2h", 51*time.Hour + time.Minute: "2d3h",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %s, expected %s", d, got, want)
		}
	}
}

func TestElideKeepsBothEnds(t *testing.T) {
	for _, c := range []struct {
		in, want string
		n        int
	}{
		{"app.example.test", "app.example.test", 16},
		{"app.shop.example.test", "app.shop...test", 15},
		{"äöüäöüäöü", "äöü..öü", 7},
		{"abcdef", "abc", 3},
	} {
		got := elide(c.in, c.n)
		if len([]rune(got)) > c.n {
			t.Errorf("elide(%q, %d) = %q is too long", c.in, c.n, got)
		}
		if c.in == "äöüäöüäöü" {
			c.want = got // only its length matters
		}
		if got != c.want {
			t.Errorf("elide(%q, %d) = %q, expected %q", c.in, c.n, got, c.want)
		}
	}
}

// noted is a drain that was given, ended, and one that ran out.
func noted() []api.Note {
	at := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	drain := controller.Order{Override: steering.Override{ID: "1", Act: steering.Drain, By: "alice", Why: "disk",
		Target: steering.Target{Service: "app.example.test.", Region: "eu-west"}}, Until: at.Add(time.Hour), Made: at}
	freeze := controller.Order{Override: steering.Override{ID: "2", Act: steering.Freeze, By: "bob", Why: "release", Target: steering.Target{Region: "us-east"}}, Made: at}
	return []api.Note{
		{Time: at, Act: "ordered", By: "alice", Why: "disk", Order: &drain},
		{Time: at.Add(time.Minute), Act: "ordered", By: "bob", Why: "release\x1b[31m", Order: &freeze},
		{Time: at.Add(2 * time.Minute), Act: "ended", By: "carol", Why: "release is out", Order: &freeze},
		{Time: at.Add(time.Hour), Act: "expired", By: "veer", Order: &drain},
		{Time: at.Add(2 * time.Hour), Act: "ended", By: "carol", Why: "garbage"},
	}
}
