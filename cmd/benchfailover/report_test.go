package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/cmd/internal/lab"
)

func ms(n ...int) []time.Duration {
	var out []time.Duration
	for _, one := range n {
		out = append(out, time.Duration(one)*time.Millisecond)
	}
	return out
}

func TestSpread(t *testing.T) {
	tests := []struct {
		in   []time.Duration
		want [4]int // min, median, p90, max
	}{
		{ms(7), [4]int{7, 7, 7, 7}},
		{ms(3, 1), [4]int{1, 2, 3, 3}},
		{ms(5, 1, 3), [4]int{1, 3, 5, 5}},
		{ms(10, 9, 8, 7, 6, 5, 4, 3, 2, 0), [4]int{0, 5, 9, 10}},
		{ms(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20), [4]int{1, 10, 18, 20}},
	}
	for _, tt := range tests {
		d := spreadOf(tt.in)
		got := [4]int{int(d.min.Milliseconds()), int(d.median.Milliseconds()), int(d.p90.Milliseconds()), int(d.max.Milliseconds())}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.in, diff)
		}
	}
}

// good is a run that keeps every bound.
func good() *report {
	r := &report{servers: []*server{{name: "gdnsd"}, {name: "PowerDNS"}, {name: "veer", ours: true}, {name: "veer watch", ours: true}}}
	for range 3 {
		r.rounds = append(r.rounds,
			round{kind: killed, away: ms(1500, 500, 400, 100), back: ms(1500, 500, 400, 100), moves: []int{2, 2, 2, 2}},
			round{kind: hung, away: ms(2500, 1500, 1500, 1500), back: ms(1500, 500, 400, 100), moves: []int{2, 2, 2, 2}})
	}
	for range r.servers {
		r.counts = append(r.counts, lab.Counts{Sent: 100, Answered: 100})
	}
	return r
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name          string
		change        func(*report)
		valid, passed bool
		line          string
	}{
		{"good", func(*report) {}, true, true, "PASS  veer killed: median 0.400 s (at most 0.500), worst 0.400 s (at most 1.300)"},
		{"gdnsd too fast", func(r *report) {
			for i := range r.rounds {
				r.rounds[i].away[0] = 1100 * time.Millisecond
			}
		}, false, true, "VOID  gdnsd killed: median 1.100 s"},
		{"PowerDNS never", func(r *report) {
			for i := range r.rounds {
				r.rounds[i].away[1] = limit
			}
		}, false, true, "VOID  PowerDNS killed: median never s"},
		{"median", func(r *report) { r.rounds[0].away[2], r.rounds[2].away[2] = ms(501)[0], ms(501)[0] }, true, false, "FAIL  veer killed: median 0.501"},
		{"worst", func(r *report) { r.rounds[0].away[3] = ms(301)[0] }, true, false, "FAIL  veer watch killed: median 0.100 s (at most 0.150), worst 0.301 s"},
		{"hung", func(r *report) { r.rounds[1].away[2] = ms(2401)[0] }, true, false, "FAIL  veer hung"},
		{"unanswered", func(r *report) { r.counts[2].Unanswered, r.counts[2].Answered = 1, 99 }, true, false, "FAIL  veer: 99 of 100 queries"},
		{"empty", func(r *report) { r.counts[3].Empty, r.counts[3].Answered = 1, 99 }, true, false, "1 empty"},
		{"a peer's empty answer", func(r *report) { r.counts[0].Empty, r.counts[0].Answered = 1, 99 }, true, true, ""},
		{"nothing asked", func(r *report) { r.counts[2] = lab.Counts{} }, true, false, "FAIL  veer: 0 of 0"},
		{"never back", func(r *report) { r.rounds[4].back[2] = limit }, true, false, "FAIL  veer: traffic returned after 5 of 6 failures"},
		{"flap", func(r *report) { r.rounds[4].moves[2] = 4 }, true, false, "2 flaps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.change(r)
			var out strings.Builder
			r.out = &out
			valid, passed := r.judge()
			if valid != tt.valid || passed != tt.passed || !strings.Contains(out.String(), tt.line) {
				t.Fatalf("got valid %v, passed %v; want %v, %v and the line %q in\n%s", valid, passed, tt.valid, tt.passed, tt.line, out.String())
			}
			r.tables()
			r.raw()
		})
	}
}

func TestPhases(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	began := time.Now()
	p := newPhases(r, began, 20)
	parts := map[time.Duration]bool{}
	for n := range 20 {
		for _, passed := range ms(0, 1, 700, 1999, 2000, 2001, 123_456) {
			now := began.Add(passed)
			at := p.next(n, now)
			if wait := at.Sub(now); wait < time.Second || wait > time.Second+period {
				t.Fatalf("repeat %d, %s after the beginning: waits %s", n, passed, wait)
			}
			if got := at.Sub(began) % period; got != p.at[n] {
				t.Fatalf("repeat %d: phase %s, want %s", n, got, p.at[n])
			}
		}
		parts[p.at[n]/(period/20)] = true
	}
	if len(parts) != 20 {
		t.Fatalf("%d of 20 parts of the period were met", len(parts))
	}
}
