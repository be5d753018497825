package callcheck

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
)

const (
	within  = 30 * time.Second
	silence = 5 * time.Minute
	batch   = "batch@192.0.2.10"
)

// ear is a process that hears, or is cut off.
type ear struct{ since, cut time.Time }

func (e *ear) hearing() Hearing {
	h := Hearing{AsOf: time.Now(), Since: e.since, For: 5 * time.Second}
	if !e.cut.IsZero() {
		h.AsOf = e.cut
	}
	return h
}

func says(t *testing.T, p checks.Prober, name string, want checks.Health, text string) {
	t.Helper()
	r := p.Probe(t.Context(), checks.Target{Name: name})
	if r.Health != want || !strings.Contains(r.Reason, text) {
		t.Errorf("%s: %s, expected %s with %q", r.Health, r.Reason, want, text)
	}
}

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{since: time.Now()}
		b := NewBook(e.hearing, []string{batch}, nil)
		p := b.Heartbeats(Config{Within: within})
		says(t, p, "other@192.0.2.1", checks.Unknown, "not heard here")
		says(t, p, batch, checks.Unknown, "listened for 0s")
		time.Sleep(within)
		says(t, p, batch, checks.Unknown, "silence counts after 30s")
		time.Sleep(time.Second)
		says(t, p, batch, checks.Down, "has not come for 31s")

		b.Hear([]Call{{Endpoint: batch, Health: checks.Up}, {Endpoint: "stranger", Health: checks.Up}, {Endpoint: batch}})
		says(t, p, batch, checks.Up, "came 0s ago and said up")
		time.Sleep(within)
		says(t, p, batch, checks.Up, "came 30s ago")
		time.Sleep(time.Second)
		says(t, p, batch, checks.Down, "has not come for 31s")
		b.Hear([]Call{{batch, checks.Degraded, "queue is long"}})
		says(t, p, batch, checks.Degraded, "said degraded (queue is long)")
		b.Hear([]Call{{batch, checks.Down, ""}})
		says(t, p, batch, checks.Down, "said down")
		if len(b.calls) != 1 {
			t.Errorf("a stranger takes room: %v", b.calls)
		}
	})
}

// TestAnOutageIsNoSilence: while etcd is away, and for as long after as silence
// takes to count, nobody is called down.
func TestAnOutageIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{since: time.Now()}
		b := NewBook(e.hearing, []string{batch}, nil)
		p := b.Heartbeats(Config{Within: within})
		b.Hear([]Call{{batch, checks.Up, ""}})
		time.Sleep(10 * time.Second)
		e.cut = time.Now()
		says(t, p, batch, checks.Up, "came 10s ago")
		time.Sleep(time.Hour)
		says(t, p, batch, checks.Unknown, "cut off from etcd")
		e.cut, e.since = time.Time{}, time.Now()
		says(t, p, batch, checks.Unknown, "listened for 0s")
		time.Sleep(within + time.Second)
		says(t, p, batch, checks.Down, "has not come for 31s")
	})
}

func TestNobodyHears(t *testing.T) {
	p := NewBook(nil, nil, nil).Heartbeats(Config{Within: within})
	says(t, p, batch, checks.Unknown, "the daemons hear call-ins")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := p.Probe(ctx, checks.Target{Name: batch}); r.Health != checks.Unknown {
		t.Errorf("after the end of its context: %v", r)
	}
}

func about(endpoints ...string) func(string) bool {
	return func(e string) bool { return strings.Contains(strings.Join(endpoints, " "), e) }
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{since: time.Now()}
		b := NewBook(e.hearing, nil, []string{"am"})
		p := b.Hook("am", silence)
		n := uint64(0)
		tell := func(s ...Statement) { n++; b.HearHook("am", n, s, false) }
		b.HearHook("other", 1, nil, false)
		says(t, b.Hook("other", silence), "a", checks.Unknown, "not heard here")
		says(t, p, "a", checks.Unknown, "silent")
		tell()
		says(t, p, "a", checks.Unknown, "listened to for 0s")
		disk := Statement{Key: "1", Health: checks.Degraded, Why: "DiskSlow", N: 1, About: about("a", "b")}
		gone := Statement{Key: "2", Health: checks.Down, Why: "InstanceDown", N: 1, About: about("a")}
		tell(disk)
		says(t, p, "a", checks.Degraded, "says degraded (DiskSlow)")
		tell(disk, gone)
		says(t, p, "a", checks.Down, "says down (InstanceDown)")
		says(t, p, "b", checks.Degraded, "DiskSlow")
		says(t, p, "c", checks.Unknown, "listened to for")
		time.Sleep(4 * time.Minute)
		gone.N = 2 // repeated
		tell(disk, gone)
		time.Sleep(2 * time.Minute)
		says(t, p, "a", checks.Down, "says down (InstanceDown), 2m0s ago")
		says(t, p, "b", checks.Unknown, "has not repeated it for 6m0s")
		says(t, p, "c", checks.Up, "says nothing against it")
		tell(disk) // resolved
		says(t, p, "a", checks.Unknown, "said degraded")
		tell()
		says(t, p, "a", checks.Up, "says nothing against it")
		time.Sleep(silence + time.Second)
		says(t, p, "a", checks.Unknown, "is silent")
		tell(gone)
		b.HearHook("am", 0, nil, true)
		says(t, p, "a", checks.Unknown, "is silent")
		e.cut = time.Now()
		tell(gone)
		time.Sleep(6 * time.Second)
		says(t, p, "a", checks.Unknown, "cut off")
	})
}

// TestWhatIsFoundIsNotFresh: a process that starts does not know how old it is
// what a hook said; after a gap it knows what was said meanwhile.
func TestWhatIsFoundIsNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{since: time.Now()}
		b := NewBook(e.hearing, nil, []string{"am"})
		p := b.Hook("am", silence)
		gone := Statement{Key: "1", Health: checks.Down, N: 7, About: about("a")}
		b.HearHook("am", 9, []Statement{gone}, true)
		says(t, p, "a", checks.Unknown, "has not repeated it")
		if f := b.Forgotten("am", silence); len(f) > 0 {
			t.Errorf("forgotten at once: %v", f)
		}
		time.Sleep(2*silence + time.Second)
		says(t, p, "a", checks.Unknown, "is silent")
		if f := b.Forgotten("am", silence); len(f) != 1 || f["1"] != 7 {
			t.Errorf("forgotten: %v", f)
		}
		gone.N = 8
		b.HearHook("am", 10, []Statement{gone}, true)
		says(t, p, "a", checks.Down, "says down")
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Within: time.Minute, TokenFile: "t"}, ""},
		{Config{Within: time.Minute, TokenEnv: "T"}, ""},
		{Config{Within: time.Second, TokenEnv: "T"}, "within: 1s; expected"},
		{Config{Within: 200 * time.Hour, TokenEnv: "T"}, "within: 200h"},
		{Config{Within: time.Minute}, "token_file: no token"},
		{Config{Within: time.Minute, TokenEnv: "T", TokenFile: "t"}, "token_env: token_file and token_env"},
	} {
		var got []string
		c.config.Check(func(field, format string, args ...any) { got = append(got, field+": "+fmt.Sprintf(format, args...)) })
		if text := strings.Join(got, "\n"); (text == "") != (c.want == "") || !strings.HasPrefix(text, c.want) {
			t.Errorf("%+v: %q, expected %q", c.config, text, c.want)
		}
	}
}

// judge is a rule for heartbeats: the true one, or a broken twin.
type judge func(b *Book, h Hearing) checks.Health

func truly(b *Book, h Hearing) checks.Health {
	b.hearing = func() Hearing { return h }
	return b.Heartbeats(Config{Within: within}).Probe(context.Background(), checks.Target{Name: batch}).Health
}

// step is one event of a story.
type step struct {
	what  string
	waits time.Duration
}

var stories = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
	return step{
		rapid.SampledFrom([]string{"call", "call", "wait", "wait", "cut", "mend", "restart"}).Draw(rt, "what"),
		time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second,
	}
}), 1, 30)

// wronglyDown plays a story, and says where an endpoint is called down although it
// had called in within the time when all was heard last.
func wronglyDown(t *testing.T, story []step, j judge) (err error) {
	synctest.Test(t, func(*testing.T) {
		var calls []time.Time // whether they were heard or not
		e := &ear{since: time.Now()}
		b := NewBook(nil, []string{batch}, nil)
		for i, s := range story {
			switch s.what {
			case "call":
				if calls = append(calls, time.Now()); e.cut.IsZero() {
					b.Hear([]Call{{batch, checks.Up, ""}})
				}
			case "wait":
				time.Sleep(s.waits)
			case "cut":
				if e.cut.IsZero() {
					e.cut = time.Now()
				}
			case "mend":
				if !e.cut.IsZero() {
					e.cut, e.since = time.Time{}, time.Now()
				}
			case "restart":
				b, e.since = NewBook(nil, []string{batch}, nil), time.Now()
			}
			h := e.hearing()
			called := slices.ContainsFunc(calls, func(at time.Time) bool { return (e.cut.IsZero() || at.Before(e.cut)) && h.AsOf.Sub(at) <= within })
			if called && j(b, h) == checks.Down {
				err = fmt.Errorf("down after step %d of %v", i, story)
			}
		}
	})
	return err
}

func TestNeverWronglyDown(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		if err := wronglyDown(t, stories.Draw(rt, "story"), truly); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestMutants shows that the search finds broken twins.
func TestMutants(t *testing.T) {
	for name, twin := range map[string]judge{
		"a process that starts knows": func(b *Book, h Hearing) checks.Health {
			h.Since = h.Since.Add(-time.Hour)
			return truly(b, h)
		},
		"silence goes on while it is cut off": func(b *Book, h Hearing) checks.Health {
			h.AsOf = time.Now()
			return truly(b, h)
		},
	} {
		found := error(nil)
		for seed := 0; seed < 1000 && found == nil; seed++ {
			found = wronglyDown(t, stories.Example(seed), twin)
		}
		if found == nil {
			t.Errorf("%s: it was not found", name)
		}
		t.Logf("%s: %v", name, found)
	}
}
