//go:build linux && (amd64 || arm64)

package main

import (
	"strings"
	"testing"
	"time"
)

// kept is a run that keeps every bound.
func kept() *report {
	server := func(name string) result {
		return result{
			name: name, rate: 500000, busy: 0.99, cpuFull: 2, cpuEqual: 3, cpuQuiet: 10, carried: 1, p50: 30 * time.Microsecond, p99: 90 * time.Microsecond,
			memory: 4e7, tcp: 100000, cpuTCP: 5, sent: 1e7, edns: 2e6, rounds: 5,
		}
	}
	ours, nsd, gdnsd := server(nameVeer), server(nameNSD), server(nameGdnsd)
	ours.static, ours.steered, ours.fast, ours.tcp = 2, 2, 1e7, 120000
	nsd.limits, nsd.limited = true, 5
	return &report{load: 200000, results: []result{ours, nsd, gdnsd}}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		change func(ours, nsd, gdnsd *result)
		line   string // "": all bounds are kept
	}{
		{"all kept", func(_, _, _ *result) {}, ""},
		{"at the bounds", func(o, _, g *result) {
			o.cpuEqual, g.cpuEqual, o.rate, o.steered, o.fast, o.general = 3*1.05*1.029, 3, 485001, 2.059, 99e5, 1e5
		}, ""},
		{"CPU beside NSD", func(o, _, _ *result) { o.cpuEqual = 3 * 1.05 * 1.031 }, "FAIL  Veer: 1.083 times NSD's CPU"},
		{"CPU beside gdnsd", func(o, n, g *result) { n.cpuEqual, g.cpuEqual, o.cpuEqual = 4, 3, 3*1.10*1.031 }, "FAIL  Veer: 1.134 times gdnsd's CPU"},
		{"answers beside NSD", func(_, n, _ *result) { n.rate = 516000 }, "FAIL  Veer: 0.969 times the answers a second of NSD"},
		{"answers beside gdnsd", func(_, _, g *result) { g.rate = 516000 }, "FAIL  Veer: 0.969 times the answers a second of gdnsd"},
		{"the generator was measured", func(_, _, g *result) { g.rate, g.busy = 500001, 0.96 }, "FAIL  gdnsd, the better peer, was saturated: busy for 96.0 %"},
		{"steered", func(o, _, _ *result) { o.steered = 2.07 }, "FAIL  Veer: a steered answer takes 1.035 times"},
		{"nothing steered", func(o, _, _ *result) { o.static, o.steered = 0, 0 }, "FAIL  Veer: a steered answer"},
		{"fast path", func(o, _, _ *result) { o.fast, o.general = 989, 11 }, "FAIL  Veer: 98.900 % of 1000 answers"},
		{"no word of the paths", func(o, _, _ *result) { o.fast = 0 }, "FAIL  Veer: 0.000 % of 0 answers"},
		{"TCP", func(o, _, _ *result) { o.tcp = 116000 }, "FAIL  Veer: 1.160 times gdnsd's answers a second over 20 TCP"},
		{"wrong", func(o, _, _ *result) { o.wrong = 1 }, "FAIL  Veer: 1 wrong and 0 cut"},
		{"a peer's wrong", func(_, n, _ *result) { n.wrong = 1 }, "FAIL  NSD: 1 wrong"},
		{"cut", func(_, _, g *result) { g.truncated = 2 }, "FAIL  gdnsd: 0 wrong and 2 cut"},
		{"lost", func(o, _, _ *result) { o.lost = 1001 }, "FAIL  Veer: 1001 of 10000000 queries had no answer"},
		{"a peer's lost", func(_, n, _ *result) { n.lost = 1001 }, ""},
		{"no rate limiting", func(_, n, _ *result) { n.limited = 4 }, "FAIL  NSD: rate limiting acted in 4 of 5"},
		{"ours too slow for the load", func(o, _, _ *result) { o.carried = 0.97 }, "FAIL  Veer: answered 97.0 % of the equal load"},
		{"peer too slow for the load", func(_, n, _ *result) { n.carried = 0.5 }, "FAIL  NSD: answered 50.0 % of the equal load"},
		{"nothing measured", func(o, _, _ *result) { *o = result{name: nameVeer} }, "FAIL  Veer: 0 wrong"},
		{"ours missing", func(o, _, _ *result) { o.name = "other" }, "FAIL  Veer was not measured"},
		{"peer missing", func(_, _, g *result) { g.name = "other" }, "FAIL  gdnsd was not measured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, out := kept(), strings.Builder{}
			r.out = &out
			tt.change(&r.results[0], &r.results[1], &r.results[2])
			passed := r.judge()
			if passed != (tt.line == "") || strings.Contains(out.String(), "FAIL") == passed || !strings.Contains(out.String(), tt.line) {
				t.Fatalf("passed %t, want the line %q in\n%s", passed, tt.line, out.String())
			}
			r.table()
		})
	}
}

func TestTableSaysWhatIsMissing(t *testing.T) {
	for _, with := range []bool{false, true} {
		r, out := kept(), strings.Builder{}
		r.out = &out
		if with {
			r.results[0].limited, r.results[0].cookies = 5, 2e6
		}
		r.table()
		for _, line := range []string{"Veer has no rate limiting that acts", "Veer sends no cookies"} {
			if strings.Contains(out.String(), line) == with {
				t.Errorf("with both %t: the line %q is there or not, in\n%s", with, line, out.String())
			}
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		of   []float64
		want float64
	}{{[]float64{7}, 7}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 5}, 5}, {[]float64{1, 100, 2, 3, 4}, 3}} {
		if got := median(tt.of); got != tt.want {
			t.Errorf("of %v: %v, want %v", tt.of, got, tt.want)
		}
	}
}

func TestCarriedBy(t *testing.T) {
	for answers, want := range map[float64]float64{0: 20000, 26000: 20000, 103738: 77000, 150000: 112000} {
		if got := carriedBy(answers); got != want {
			t.Errorf("of %v answers a second: %v, want %v", answers, got, want)
		}
	}
}

func TestSummary(t *testing.T) {
	one := func(right uint64, cpu time.Duration) measured {
		return measured{tally: &tally{span: time.Second, sent: right + 10, right: right, lost: 10, edns: 10, cookies: 5}, cpu: cpu, rate: 4000}
	}
	var samples []sample
	for i := range uint64(3) {
		m := one(1000*(i+1), time.Duration(i+1)*time.Millisecond)
		samples = append(samples, sample{full: m, equal: m, quiet: m, static: m, steered: m, memory: i, tcp: overTCP{perSecond: float64(i), answered: 1, cpu: 1}, limited: i > 0, fast: 10, general: i})
	}
	samples[1].quiet.tally.wrong, samples[1].quiet.tally.firstWrong = 1, "this one"
	r := summary(kind{name: "x", steers: true}, samples)
	if r.rate != 2000 || r.cpuFull != 1 || r.carried != 0.25 || r.lost != 150 || r.sent != 5*6030 || r.limited != 2 || r.fast != 30 || r.general != 3 ||
		r.memory != 1 || r.tcp != 1 || r.static != 1 || r.firstWrong != "this one" || r.edns != 150 || r.cookies != 75 {
		t.Errorf("got %+v", r)
	}
}
