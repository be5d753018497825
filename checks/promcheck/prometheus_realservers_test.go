//go:build realservers

package promcheck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/promcheck"
)

// TestPrometheus asks a Prometheus that scrapes itself, and a port where
// nothing listens.
func TestPrometheus(t *testing.T) {
	folder := t.TempDir()
	target, nobody := checktest.Refused(t, "tcp", "127.0.0.1"), checktest.Refused(t, "tcp", "127.0.0.1")
	file := filepath.Join(folder, "prometheus.yml")
	content := fmt.Sprintf("global: {scrape_interval: 100ms}\nscrape_configs:\n- job_name: \"it's \\\\ it\"\n  static_configs: [{targets: ['127.0.0.1:%d', '127.0.0.1:%d']}]\n", target.Port, nobody.Port)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus := checktest.Start(t, target, "prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", target.Port), "--log.level=warn")

	base := promcheck.Config{URL: at(target), Query: `up{job='it\'s \\ it',instance="{{address}}"}`, Min: limit(1), NoData: "down"}
	up := prober(t, base)
	await(t, up, target)
	checktest.Expect(t, checktest.Probe(t, up, target, time.Minute), checks.Up, "gave 1 for up{instance=\"127.0.0.1:")
	checktest.Expect(t, checktest.Probe(t, up, nobody, time.Minute), checks.Down, "gave 0 for up{", "expected at least 1")
	other := target
	other.Host = `127.0.0.1"} or vector(1) #`
	checktest.Expect(t, checktest.Probe(t, up, other, time.Minute), checks.Down, "gave no data")

	for _, c := range []struct {
		change func(*promcheck.Config)
		health checks.Health
		words  string
	}{
		{func(c *promcheck.Config) { c.Method = "GET" }, checks.Up, "gave 1"},
		{func(c *promcheck.Config) { c.Query = `up{instance=~"{{address}}"}` }, checks.Up, "gave 1"},
		{func(c *promcheck.Config) { c.Query = "up" }, checks.Down, "of all 1 up, 0 degraded, 1 down"},
		{func(c *promcheck.Config) { c.Query, c.Series = "up", "any" }, checks.Up, "gave 1"},
		{func(c *promcheck.Config) { c.Query = "scalar(vector(0.5))" }, checks.Down, "gave 0.5 for the scalar"},
		{func(c *promcheck.Config) { c.Query = "0/0" }, checks.Unknown, "gave NaN for the scalar"},
		{func(c *promcheck.Config) { c.Query = "up[1m]" }, checks.Unknown, "gives a matrix"},
		{func(c *promcheck.Config) { c.Query = "up{" }, checks.Unknown, "with bad_data: invalid parameter"},
		{func(c *promcheck.Config) { c.Query = `label_replace(up, "job", "$1", "job", "(")` }, checks.Unknown, "with execution: "},
		{func(c *promcheck.Config) { c.URL += "/prefix" }, checks.Unknown, "no API below this URL"},
	} {
		config := base
		c.change(&config)
		checktest.Expect(t, checktest.Probe(t, prober(t, config), target, time.Minute), c.health, c.words)
	}

	prometheus.Kill()
	checktest.Expect(t, checktest.Probe(t, up, target, time.Minute), checks.Unknown, "connection refused", "says nothing of the endpoint")
}

// await waits until Prometheus has scraped the target: only asking tells.
func await(t *testing.T, p *promcheck.Prober, target checks.Target) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx := t.Context()
		r := p.Probe(ctx, target)
		if r.Health == checks.Up {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never scraped: %s", r.Reason)
		}
	}
}
