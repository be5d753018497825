package daemon

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

// newMetrics makes the registry, with the counters of the written providers.
func (d *daemon) newMetrics() *metrics.Metrics {
	m := metrics.New(metrics.Options{Version: d.o.Version, Read: d.reading})
	for _, p := range d.config().Providers {
		if p.Written() != nil && d.roles[RoleController] {
			m.Foresee(p.Name)
		}
	}
	if d.roles[RoleController] {
		foreseeReceivers(m, d.config())
		for _, output := range d.config().Journal.Outputs() {
			m.ForeseeOutput(output)
		}
	}
	if d.c.Host.HTTP.Listen == "" {
		return m
	}
	for name, monitor := range d.config().Monitors {
		if monitor.Heartbeat != nil {
			m.ForeseeCalls(metrics.CallHeartbeat, name)
		}
	}
	for name := range d.config().Hooks {
		m.ForeseeCalls(metrics.CallHook, name)
	}
	return m
}

func foreseeReceivers(m *metrics.Metrics, c *config.Config) {
	for _, r := range c.Notifications.Receivers {
		m.ForeseeReceiver(r.Name, notify.Sent, notify.Failed, notify.Dropped)
	}
}

// counted tells the metrics of a write.
func (d *daemon) counted(w controller.Written, err error) {
	outcome := metrics.WriteError
	switch {
	case err == nil:
		outcome = metrics.WriteOK
	case errors.Is(err, providers.ErrFenced):
		outcome = metrics.WriteFenced
		d.fenced(w)
	case errors.Is(err, providers.ErrConflict):
		outcome = metrics.WriteConflict
	}
	d.metrics.Wrote(w.Name, outcome)
}

// reading is how all stands now, for the metrics.
func (d *daemon) reading(ctx context.Context) metrics.Reading {
	p := d.picture()
	r := metrics.Reading{
		Endpoints: map[string]int{}, Responses: map[string]map[string]uint64{}, Limited: map[string][]metrics.Limited{},
		Connections: map[string]map[string]int{}, TurnedAway: map[string]map[string]uint64{}, Aliases: map[string]map[string]int{}, Expiry: d.expiry(p.now),
		Failing: d.exports.failing(p.now),
	}
	if c := d.courier.Load(); c != nil {
		r.Waiting = c.Waiting()
	}
	r.Loaded, r.Refused = d.loaded()
	if cl := d.cluster.Load(); cl != nil {
		ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
		defer cancel()
		name, term, itself, err := cl.Leading(ctx)
		r.Etcd, r.LeaderKnown, r.Term = err == nil, err == nil && name != "", uint64(term)
		r.Leads = itself
	}
	if a := d.statusApart(); a != nil {
		r.CutOff = a.CutOff
	}
	own := p.c.Hash()
	for _, v := range p.voters() {
		r.Vantages = append(r.Vantages, metrics.Vantage{
			Name: string(v.Name), Fresh: v.Fresh, Suspect: v.Suspect, Mismatch: v.Config != "" && v.Config != own, Votes: p.votesOf(v.Name),
		})
	}
	seen := map[regions.EndpointID]bool{}
	for _, svc := range p.policy.Services {
		if p.state(svc.Name).AllDown {
			r.AllDown++
		}
		for _, pool := range svc.Pools {
			for _, e := range pool.Endpoints {
				if !seen[e.ID] {
					seen[e.ID] = true
					r.Endpoints[p.verdict(e.ID).Health.String()]++
				}
			}
		}
	}
	if c := d.controller.Load(); c != nil {
		for _, z := range c.Zones() {
			zone := metrics.Zone{Provider: z.Provider, Zone: short(z.Zone), State: string(z.State)}
			for _, b := range z.Behind {
				zone.Lag = max(zone.Lag, b.Since)
			}
			r.Zones = append(r.Zones, zone)
		}
	}
	if pr := d.prober.Load(); pr != nil {
		late := pr.Punctuality()
		r.Prober = &metrics.Prober{Probes: late.Probes, P50: late.P50, P99: late.P99, Latest: late.Worst}
	}
	for _, s := range d.servers {
		codes := map[string]uint64{}
		for code, n := range s.Responses() {
			if name, ok := dns.RcodeToString[code]; ok && n > 0 {
				codes[name] += n
			} else if n > 0 {
				codes["other"] += n
			}
		}
		r.Responses[s.name] = codes
		for _, l := range s.Limited() {
			r.Limited[s.name] = append(r.Limited[s.name], metrics.Limited(l))
		}
		tcp, tls := s.Connections()
		r.Connections[s.name], r.TurnedAway[s.name] = map[string]int{"tcp": tcp, "tls": tls}, s.TurnedAway()
		readTraffic(&r, s.name, s.Server)
		readDropped(&r, s.name, s.Server)
		if hosts := s.Aliases(); hosts != nil {
			r.Aliases[s.name] = aliasHosts(hosts)
		}
	}
	return r
}

// votesOf counts a vantage's votes by health.
func (p *picture) votesOf(name regions.Name) map[string]int {
	out := map[string]int{}
	for _, b := range p.ballots {
		if b.Vantage != name {
			continue
		}
		for _, v := range b.Votes {
			out[v.Health.String()]++
		}
	}
	return out
}

// expiry is the time left to this host's certificates, by key.
func (d *daemon) expiry(now time.Time) map[string]time.Duration {
	out := map[string]time.Duration{}
	h := d.c.Host
	files := map[string]string{"host.tls.ca_file": h.TLS.CAFile, "host.tls.cert_file": h.TLS.CertFile, "host.http.cert_file": h.HTTP.CertFile}
	if d.roles[RoleAuthority] {
		for _, p := range d.config().Providers {
			if p.Authority != nil {
				files["providers."+p.Name+".tls.cert_file"] = p.Authority.TLS.CertFile
			}
		}
	}
	for key, file := range files {
		if end, ok := firstEnd(file); ok {
			out[key] = end.Sub(now)
		}
	}
	return out
}

// firstEnd is when the first of a file's certificates ends; what cannot be read is
// warned of by status.
func firstEnd(file string) (end time.Time, ok bool) {
	if file == "" {
		return end, false
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return end, false
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "CERTIFICATE") {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (!ok || c.NotAfter.Before(end)) {
			end, ok = c.NotAfter, true
		}
	}
	return end, ok
}
