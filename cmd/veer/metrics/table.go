package metrics

import (
	"fmt"
	"strings"
)

// The types of a Metric.
const (
	Counter = "counter"
	Gauge   = "gauge"
)

// Metric is one documented name.
type Metric struct {
	Name, Type string
	Labels     []string
	Help       string
	// Series says how many there can be.
	Series string
}

var (
	buildInfo = Metric{"veer_build_info", Gauge, []string{"version", "go_version"}, "Always 1: which Veer this is.", "1"}
	decisions = Metric{"veer_decisions_total", Counter, nil, "Commits of decisions to the ledger by this process while it led.", "1"}
	writes    = Metric{"veer_provider_writes_total", Counter, []string{"provider", "outcome"}, "Requests of this process to write a provider's zones, by outcome: ok, fenced (a newer leader has written), conflict (somebody wrote at the same time), error.", "4 a written provider"}

	leads        = Metric{"veer_leader", Gauge, nil, "1 while this process leads, else 0.", "1"}
	leaderKnown  = Metric{"veer_leader_known", Gauge, nil, "1 while this process knows of a leader, itself or another, else 0.", "1"}
	term         = Metric{"veer_term", Gauge, nil, "The term of the ledger as this process last heard it; 0 while it does not know it.", "1"}
	etcd         = Metric{"veer_etcd_reachable", Gauge, nil, "1 when etcd answered this scrape with a quorum behind it, else 0.", "1"}
	cutOff       = Metric{"veer_cut_off_seconds", Gauge, nil, "How long this process counts as cut off from the cluster; 0: it does not.", "1"}
	fresh        = Metric{"veer_vantage_fresh", Gauge, []string{"vantage"}, "1 while the vantage's votes are fresh, else 0.", "1 a vantage"}
	suspect      = Metric{"veer_vantage_suspect", Gauge, []string{"vantage"}, "1 while the vantage doubts itself, so that its votes count as unknown, else 0.", "1 a vantage"}
	mismatch     = Metric{"veer_config_mismatch", Gauge, []string{"region"}, "1 while the vantage of this name runs another config than this process, else 0.", "1 a vantage"}
	votes        = Metric{"veer_votes", Gauge, []string{"vantage", "health"}, "Endpoints by what a vantage votes: up, degraded, down, unknown.", "4 a vantage"}
	endpoints    = Metric{"veer_endpoints", Gauge, []string{"health"}, "Endpoints of the config by verdict: up, degraded, down, unknown.", "4"}
	allDown      = Metric{"veer_services_all_down", Gauge, nil, "Services of which every pool is down, as the ledger says.", "1"}
	zoneState    = Metric{"veer_zone_state", Gauge, []string{"provider", "zone", "state"}, "1 for the state of each written zone as the leader keeps it; absent where this process does not lead.", "1 a written zone"}
	lag          = Metric{"veer_provider_lag_seconds", Gauge, []string{"provider", "zone"}, "How long the oldest answer waits that is in the ledger and not in the zone; absent where this process does not lead.", "1 a written zone"}
	probes       = Metric{"veer_probes_total", Counter, nil, "Probes that the schedule started; absent without a prober.", "1"}
	late         = Metric{"veer_probe_late_seconds", Gauge, []string{"quantile"}, "How late scheduled probes began since the start of the process: quantiles 0.5, 0.99 and 1; absent without a prober.", "3"}
	queries      = Metric{"veer_dns_responses_total", Counter, []string{"provider", "rcode"}, "DNS responses of an authority by code; absent without one.", "16 an authority"}
	limitedTotal = Metric{"veer_dns_rate_limited_total", Counter, []string{"provider", "class", "action"}, "DNS responses of an authority over its rate limit, by class (answer, nodata, referral, nxdomain, error) and action: dropped, slipped (sent without records and with TC; errors as they are), logged (sent whole, with log_only). Slipped and logged ones are among veer_dns_responses_total too. Absent without a rate limit.", "15 an authority"}
	connections  = Metric{"veer_dns_connections", Gauge, []string{"provider", "transport"}, "Connections of clients that are open at an authority, by transport: tcp, tls.", "2 an authority"}
	turnedAway   = Metric{"veer_dns_turned_away_total", Counter, []string{"provider", "reason"}, "Clients that an authority turned away: full (no seat free in tcp_connections, and no connection idle), client (too many of one client), idle (closed to make room for another), handshake (no TLS session was made), proxy (a connection or datagram without the PROXY header that must be there, or with one that may not).", "5 an authority"}
	zoneQueries  = Metric{"veer_dns_queries_total", Counter, []string{"provider", "zone", "transport", "rcode"}, "Queries that a zone of an authority answered, by transport (udp, tcp, tls) and code.", "16 a zone and transport at most"}
	answers      = Metric{"veer_dns_answers_total", Counter, []string{"provider", "service", "answer"}, "Queries that a service answered, by the region that was answered, or several with + between them in the order of the pools; FALLBACK, OTHER for data of no pool, NODATA for a type that the service has not. A service that is gone has none.", "one a service and set of regions that it answered, 66 at most"}
	dropped      = Metric{"veer_dns_log_dropped_total", Counter, []string{"provider", "log"}, "Queries that were to be told of and were dropped, since there was no room or nobody took them, by log: query_log, dnstap; absent without that log.", "2 an authority"}
	aliases      = Metric{"veer_alias_hosts", Gauge, []string{"provider", "state"}, "Host names that an authority looks up for services of type ALIAS, by how they stand: fresh, stale (not renewed in time, the last good addresses are served), unknown (never looked up); absent without a resolver.", "3 an authority"}
	notified     = Metric{"veer_notifications_total", Counter, []string{"receiver", "outcome"}, "Tries of this process, while it led, to bring a message to a receiver, by outcome: sent, failed (it is tried again), dropped (it is not: refused for good, too old, or too many waited); absent without notifications.", "3 a receiver"}
	waiting      = Metric{"veer_notifications_waiting", Gauge, []string{"receiver"}, "Messages that a receiver has not got yet; absent where this process does not lead, and without notifications.", "1 a receiver"}
	exported     = Metric{"veer_journal_exported_total", Counter, []string{"output"}, "Records of the journal that this process wrote out, by output: file, syslog; absent without one.", "1 an output"}
	exportGaps   = Metric{"veer_journal_gaps_total", Counter, []string{"output"}, "Times that records may be missing in what was written out, since the ledger did not have them any more; absent without an output.", "1 an output"}
	exportFails  = Metric{"veer_journal_failing_seconds", Gauge, []string{"output"}, "How long an output of the journal has not been written to, since it cannot be; 0: it can; absent without one.", "1 an output"}
	expiry       = Metric{"veer_certificate_expiry_seconds", Gauge, []string{"file"}, "Time until a certificate of this host ends, below 0 when it has: host.tls.ca_file, host.tls.cert_file, host.http.cert_file, providers.NAME.tls.cert_file.", "3, and 1 an authority"}
)

// read are the metrics that are read at a scrape.
func read() []*Metric {
	return []*Metric{
		&buildInfo, &leads, &leaderKnown, &term, &etcd, &cutOff, &fresh, &suspect, &mismatch, &votes, &endpoints,
		&allDown, &zoneState, &lag, &probes, &late, &queries, &zoneQueries, &answers, &limitedTotal, &dropped, &connections, &turnedAway, &aliases, &expiry,
		&waiting, &exportFails,
	}
}

// Table lists every metric of Veer's own.
func Table() []Metric {
	var out []Metric
	for _, m := range append(read(), &decisions, &writes, &notified, &exported, &exportGaps) {
		out = append(out, *m)
	}
	return out
}

// Page is docs/metrics.md.
func Page() string {
	var b strings.Builder
	b.WriteString(`# Metrics

Written from the code by ` + "`go test ./cmd/veer/metrics -update`" + `.

` + "`host.http.listen`" + ` opens the listener: see [the configuration](configuration.md#host). It serves

- ` + "`/metrics`" + `: the names below, and ` + "`go_*` and `process_*`" + ` of Prometheus' client library;
- ` + "`/healthz`" + `: 200 while the process runs;
- ` + "`/readyz`" + `: 200 when the roles of this process do what they are for, else 503 with a line for each reason. An authority that answers is ready without etcd: it serves what it last knew.

With a token, each request must carry ` + "`Authorization: Bearer TOKEN`" + `, also those of Prometheus (` + "`authorization: {credentials_file: FILE}`" + ` in its ` + "`scrape_config`" + `).

Labels take values that the config bounds, and the words below. Names and labels are not renamed within a major version.

[alerts/veer.rules.yml](alerts/veer.rules.yml) has alert rules, the [runbook](runbook.md) a section for each, and [dashboard.json](dashboard.json) is a dashboard for Grafana.

| name | type | labels | series | meaning |
|---|---|---|---|---|
`)
	for _, m := range Table() {
		labels := make([]string, len(m.Labels))
		for i, l := range m.Labels {
			labels[i] = "`" + l + "`"
		}
		text := strings.Join(labels, ", ")
		if text == "" {
			text = "none"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Type, text, m.Series, m.Help)
	}
	return b.String()
}
