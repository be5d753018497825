package prober

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
)

func TestDefaults(t *testing.T) {
	for _, c := range []struct{ have, want MonitorConfig }{
		{MonitorConfig{}, MonitorConfig{Interval: 5 * time.Second, Timeout: 2 * time.Second, Recheck: 500 * time.Millisecond, Fall: 3, Rise: 3, OK: 3}},
		{MonitorConfig{Rise: 7}, MonitorConfig{Interval: 5 * time.Second, Timeout: 2 * time.Second, Recheck: 500 * time.Millisecond, Fall: 3, Rise: 7, OK: 7}},
		{MonitorConfig{Interval: time.Second}, MonitorConfig{Interval: time.Second, Timeout: 500 * time.Millisecond, Recheck: 100 * time.Millisecond, Fall: 3, Rise: 3, OK: 3}},
		{MonitorConfig{Interval: time.Minute, OK: 9}, MonitorConfig{Interval: time.Minute, Timeout: 2 * time.Second, Recheck: 500 * time.Millisecond, Fall: 3, Rise: 3, OK: 9}},
	} {
		if got := c.have.Defaults(); got != c.want {
			t.Errorf("defaults of %+v:\n got %+v\nwant %+v", c.have, got, c.want)
		}
		c.have.Check(func(field, format string, args ...any) {
			t.Errorf("%+v: %s: %s", c.have, field, fmt.Sprintf(format, args...))
		})
	}
}

func TestCheckReportsEveryProblem(t *testing.T) {
	for _, c := range []struct {
		monitor MonitorConfig
		want    string
	}{
		{MonitorConfig{Interval: 99 * time.Millisecond}, "interval: 99ms: expected 100ms to 1h0m0s"},
		{MonitorConfig{Interval: 2 * time.Hour}, "interval: 2h0m0s: expected 100ms to 1h0m0s"},
		{MonitorConfig{Interval: -time.Second, Timeout: time.Second, Recheck: time.Second}, "interval: -1s: expected 100ms to 1h0m0s"},
		{MonitorConfig{Timeout: 6 * time.Second}, "timeout: 6s: expected 10ms to the interval, 5s"},
		{MonitorConfig{Timeout: -1}, "timeout: -1ns: expected 10ms to the interval, 5s"},
		{MonitorConfig{Recheck: time.Minute}, "recheck: 1m0s: expected 10ms to the interval, 5s"},
		{MonitorConfig{Recheck: 1}, "recheck: 1ns: expected 10ms to the interval, 5s"},
		{MonitorConfig{Slow: 2 * time.Second}, "slow: 2s: expected less than the timeout, 2s, which would make it down first"},
		{MonitorConfig{Slow: -1}, "slow: -1ns: expected a latency above 0, or none for no limit"},
		{MonitorConfig{Fall: -1, Rise: 101, OK: 1000}, "fall: -1: expected 1 to 100; rise: 101: expected 1 to 100; ok: 1000: expected 1 to 100"},
	} {
		var got []string
		c.monitor.Check(func(field, format string, args ...any) {
			got = append(got, field+": "+fmt.Sprintf(format, args...))
		})
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.monitor, text, c.want)
		}
	}
}

func TestWorstInterval(t *testing.T) {
	if got := (MonitorConfig{Interval: time.Second}).WorstInterval(); got != 1100*time.Millisecond {
		t.Errorf("got %s", got)
	}
	if got := (MonitorConfig{}).WorstInterval(); got != 5500*time.Millisecond {
		t.Errorf("got %s", got)
	}
}

func TestThresholds(t *testing.T) {
	want := checks.Thresholds{Fall: 2, Rise: 4, OK: 4, Slow: time.Second}
	if got := (MonitorConfig{Fall: 2, Rise: 4, Slow: time.Second}).Thresholds(); got != want {
		t.Errorf("got %+v", got)
	}
}

func TestNewNamesEveryProblem(t *testing.T) {
	_, err := New(Options{
		Renew: -1,
		Jobs:  []Job{{Endpoint: "web@192.0.2.1", Prober: newBackend()}, {Endpoint: "web@192.0.2.2"}},
		References: []Job{
			{Endpoint: "web@192.0.2.1", Prober: newBackend()},
			{Endpoint: "dns@192.0.2.53", Prober: newBackend(), Monitor: MonitorConfig{Fall: 1000}},
		},
	})
	if err == nil {
		t.Fatal("New took it")
	}
	for _, want := range []string{
		"needs a name", "needs a booth", "renew", `"web@192.0.2.1" is listed twice`,
		`"web@192.0.2.2" needs a prober`, `"dns@192.0.2.53", fall: 1000`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestShorten(t *testing.T) {
	long := shorten(strings.Repeat("é", maxWhy))
	if len(long) > maxWhy || !strings.HasSuffix(long, "é...") {
		t.Errorf("%d bytes: %q", len(long), long)
	}
	if got := shorten("a\xffb"); got != "a?b" {
		t.Errorf("got %q", got)
	}
}
