// Package metrics is what a daemon tells Prometheus: its names are documented in
// docs/metrics.md, which is written from Table, and never renamed within a
// major version. Labels take values that the config bounds, and fixed words;
// never an address, a client or a text of an error.
//
// Most of it is read when it is asked for, by the Read function that the
// daemon gives. What happens in between is counted by the methods of Metrics,
// which are safe for concurrent use.
package metrics

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The outcomes of a provider's write.
const (
	WriteOK       = "ok"
	WriteFenced   = "fenced"
	WriteConflict = "conflict"
	WriteError    = "error"
)

// readWithin bounds what a scrape waits for.
const readWithin = 2 * time.Second

// Options are what a Metrics is made of.
type Options struct {
	Version string
	// Read tells how all stands now. It is called at every scrape, and must
	// heed its context.
	Read func(ctx context.Context) Reading
}

// Metrics is one daemon's registry. It shares nothing with another's.
type Metrics struct {
	registry  *prometheus.Registry
	decisions prometheus.Counter
	writes    *prometheus.CounterVec
	notified  *prometheus.CounterVec
	exported  *prometheus.CounterVec
	gaps      *prometheus.CounterVec
}

// New makes the registry.
func New(o Options) *Metrics {
	vec := func(m Metric) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		decisions: prometheus.NewCounter(prometheus.CounterOpts{Name: decisions.Name, Help: decisions.Help}),
		writes:    vec(writes),
		notified:  vec(notified),
		exported:  vec(exported),
		gaps:      vec(exportGaps),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.decisions, m.writes, m.notified, m.exported, m.gaps, reader{version: o.Version, read: o.Read},
	)
	return m
}

// Decided counts one commit of decisions to the ledger.
func (m *Metrics) Decided() { m.decisions.Inc() }

// Wrote counts a write to a provider by what became of it, one of the words above.
func (m *Metrics) Wrote(provider, outcome string) { m.writes.WithLabelValues(provider, outcome).Inc() }

// Foresee makes the counters of a provider show as 0 from the start.
func (m *Metrics) Foresee(provider string) {
	for _, outcome := range []string{WriteOK, WriteFenced, WriteConflict, WriteError} {
		m.writes.WithLabelValues(provider, outcome)
	}
}

// Notified counts a try to bring a message to a receiver: sent, failed or
// dropped.
func (m *Metrics) Notified(receiver, outcome string) {
	m.notified.WithLabelValues(receiver, outcome).Inc()
}

// Exported counts a record of the journal that was written out, Gap that some
// may be missing.
func (m *Metrics) Exported(output string) { m.exported.WithLabelValues(output).Inc() }

// Gap counts that records may be missing in an output.
func (m *Metrics) Gap(output string) { m.gaps.WithLabelValues(output).Inc() }

// ForeseeReceiver makes the counters of a receiver show as 0 from the start.
func (m *Metrics) ForeseeReceiver(name string, outcomes ...string) {
	for _, outcome := range outcomes {
		m.notified.WithLabelValues(name, outcome)
	}
}

// ForeseeOutput does so for an output of the journal.
func (m *Metrics) ForeseeOutput(output string) {
	m.exported.WithLabelValues(output)
	m.gaps.WithLabelValues(output)
}

// Handler serves what there is in Prometheus' formats.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 4 * readWithin})
}

// reader is the prometheus.Collector of what is read at a scrape.
type reader struct {
	version string
	read    func(ctx context.Context) Reading
}

// Describe implements prometheus.Collector.
func (r reader) Describe(out chan<- *prometheus.Desc) {
	for _, m := range read() {
		out <- m.desc()
	}
}

// Collect implements prometheus.Collector.
func (r reader) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin) // the interface has none
	defer cancel()
	now := r.read(ctx)
	emit := func(m *Metric, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if m.Type == Counter {
			kind = prometheus.CounterValue
		}
		metric, err := prometheus.NewConstMetric(m.desc(), kind, value, labels...)
		if err != nil {
			metric = prometheus.NewInvalidMetric(m.desc(), fmt.Errorf("make the metric %s: %w", m.Name, err))
		}
		out <- metric
	}
	emit(&buildInfo, 1, r.version, runtime.Version())
	now.emit(emit)
}

func (m *Metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }
