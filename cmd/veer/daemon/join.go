package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/callcheck"
	"github.com/veerdns/veer/checks/dnscheck"
	"github.com/veerdns/veer/checks/execcheck"
	"github.com/veerdns/veer/checks/grpccheck"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/icmpcheck"
	"github.com/veerdns/veer/checks/promcheck"
	"github.com/veerdns/veer/checks/sqlcheck"
	"github.com/veerdns/veer/checks/tcpcheck"
	"github.com/veerdns/veer/checks/tlscheck"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

// The pauses between tries to join the cluster.
const (
	rejoinFirst = 250 * time.Millisecond
	rejoinMost  = 15 * time.Second
)

// startCluster joins the cluster, trying again for as long as it takes where
// the cluster is another process's or an authority serves meanwhile.
func (d *daemon) startCluster(ctx context.Context) error {
	d.parts.start("certificates", d.watchCertificates)
	if alone, err := d.startSealed(ctx); alone {
		return err
	}
	if d.left = len(d.c.Cluster.Endpoints) == 0 && d.removed(); d.left {
		d.parts.start("removed member", d.goOnRemoved)
	}
	cl, err := d.join(ctx)
	if err != nil {
		return err
	}
	d.joined = cl
	d.reloading.Lock()
	d.cluster.Store(cl)
	cl.Reconfigured(d.config().Hash()) // it may be another one than when the joining began
	d.reloading.Unlock()
	d.parts.start("cluster", func(ctx context.Context) error {
		<-ctx.Done()
		if err := cl.Close(); err != nil {
			return fmt.Errorf("closing the cluster: %w", err)
		}
		return nil
	})
	d.parts.start("etcd", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-cl.Ended():
			return d.outlive(ctx, cl.Err())
		}
	})
	d.parts.start("term", func(ctx context.Context) error { d.outrank(ctx, cl); return nil })
	d.parts.start("votes watch", func(ctx context.Context) error { d.scene.watch(ctx, cl); return nil })
	d.parts.start("ledger watch", func(ctx context.Context) error { return d.follow(ctx, cl) })
	return nil
}

// join tries until it has joined, ctx ends, or a part fails.
func (d *daemon) join(ctx context.Context) (*cluster.Cluster, error) {
	patient := d.roles[RoleAuthority] || len(d.c.Cluster.Endpoints) > 0 || d.isClient()
	o := d.clusterOptions()
	for pause := rejoinFirst; ; pause = min(2*pause, rejoinMost) {
		cl, err := cluster.Start(ctx, d.c.Cluster, o)
		if err == nil {
			return cl, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !patient && !errors.Is(err, cluster.ErrSpoilt) {
			return nil, fmt.Errorf("joining the cluster: %w", err)
		}
		if errors.Is(err, cluster.ErrEnded) || errors.Is(err, cluster.ErrSpoilt) {
			if err := d.outlive(ctx, err); err != nil {
				return nil, err
			}
			return nil, ctx.Err()
		}
		d.scene.lost(err)
		d.o.Log.Error().Err(err).Dur("again_in_ms", pause).Msg("cannot join the cluster; answers stay as they are")
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-d.parts.failed:
			return nil, err
		case <-time.After(pause):
		}
	}
}

// clusterOptions are what this process brings to the cluster.
func (d *daemon) clusterOptions() cluster.Options {
	return cluster.Options{
		Owner: d.c.Owner, Name: string(d.c.Host.Region), DataDir: d.c.Host.DataDir,
		Floor: d.termFloor, LeaseOverrun: d.o.Hooks.LeaseOverrun, Unguarded: d.o.Hooks.Unguarded, Config: d.config().Hash(),
		Client: d.isClient(), Waiting: d.scene.lost, Ear: newEar(d.book, d.config()),
		TLS: cluster.TLS{CAFile: d.c.Host.TLS.CAFile, CertFile: d.c.Host.TLS.CertFile, KeyFile: d.c.Host.TLS.KeyFile},
		Log: d.o.Log.With().Str("part", "cluster").Logger(),
	}
}

// isClient reports whether this process only speaks to the cluster's members:
// its region has none, its role does not keep one, it was removed, or it has no
// folder to write to and others to go on with.
func (d *daemon) isClient() bool {
	name := string(d.c.Host.Region)
	_, listed := d.c.Cluster.Members[name]
	apart := d.sealed != nil && d.c.Cluster.Others(name)
	return len(d.c.Cluster.Members) > 0 && len(d.c.Cluster.Endpoints) == 0 && (!d.keeps || !listed || d.left || apart)
}

// follow hands each version of a shard to the scene and to the authorities. A
// watch that breaks is begun again; the answers stay meanwhile.
func (d *daemon) follow(ctx context.Context, cl *cluster.Cluster) error {
	for pause := rejoinFirst; ; pause = min(2*pause, rejoinMost) {
		err := cl.WatchShards(ctx, func(shards []steering.Shard) {
			pause = rejoinFirst
			if d.o.Hooks.BeforeSwap != nil {
				d.o.Hooks.BeforeSwap(shards)
			}
			d.rejoined() // the ledger holds at once
			for _, s := range d.servers {
				s.update(shards)
			}
			d.scene.heard(shards) // status never tells what is not served yet
			d.again()
			if d.o.Hooks.Swapped != nil {
				d.o.Hooks.Swapped(shards)
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		d.o.Log.Error().Err(err).Msg("the watch of the ledger broke; answers stay as they are")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// update serves shards, without the services of other providers.
func (s *server) update(shards []steering.Shard) {
	own := make([]steering.Shard, len(shards))
	for i, sh := range shards {
		sh.Answers = s.own(sh.Answers)
		own[i] = sh
	}
	s.Update(own)
}

func (s *server) own(answers []steering.Answer) []steering.Answer {
	foreign := *s.foreign.Load()
	out := make([]steering.Answer, 0, len(answers))
	for _, a := range answers {
		if !foreign[a.Name] {
			out = append(out, a)
		}
	}
	return out
}

// foreign are the services that the config gives to other providers only.
func foreign(c *config.Config, p config.Provider) *map[string]bool {
	out := map[string]bool{}
	for _, s := range c.Services {
		listed := len(s.Providers) == 0
		for _, name := range s.Providers {
			listed = listed || name == p.Name
		}
		if !listed {
			out[s.Name] = true
		}
	}
	return &out
}

// startProber starts this region's vantage.
func (d *daemon) startProber(context.Context) error {
	if !d.roles[RoleProber] {
		return nil
	}
	d.reloading.Lock()
	p, err := d.newProber()
	if err == nil {
		d.prober.Store(p)
	}
	d.reloading.Unlock()
	if err != nil {
		return err
	}
	d.parts.start("prober", p.Run)
	return d.startHookVantages()
}

// jobsOf makes the jobs of what the config lists, and has the engine run those
// probes that it can.
func jobsOf(engine *httpcheck.Engine, book *callcheck.Book, probes []config.Probe, files secrets) ([]prober.Job, error) {
	out := make([]prober.Job, 0, len(probes))
	for _, p := range probes {
		checker, err := checkerOf(p.Monitor, book)
		if err != nil {
			return nil, fmt.Errorf("the monitor of %s: %w", p.Endpoint, err)
		}
		asks := p.Monitor // but for when, and what is made of the results
		asks.MonitorConfig = prober.MonitorConfig{Kind: asks.Kind, Port: asks.Port}
		same, err := files.sign("monitors.", asks, p.Target)
		if err != nil {
			return nil, fmt.Errorf("the monitor of %s: %w", p.Endpoint, err)
		}
		job := prober.Job{Endpoint: p.Endpoint, Target: p.Target, Monitor: p.Monitor.MonitorConfig, Prober: checker, Measure: measureOf(p), WarmUp: p.WarmUp, Same: same}
		if w, ok := checker.(checks.Watcher); ok && p.Monitor.Watch {
			job.Watcher = w
		}
		if h, ok := checker.(*httpcheck.Prober); ok {
			if s := engine.Starter(h, p.Target); s != nil {
				job.Starter = s
			}
		}
		out = append(out, job)
	}
	return out, nil
}

// checkerOf makes the checker of a monitor's kind; heartbeats are in the book.
func checkerOf(m config.Monitor, book *callcheck.Book) (checks.Prober, error) {
	switch {
	case m.HTTP != nil:
		return httpcheck.New(*m.HTTP)
	case m.TCP != nil:
		return tcpcheck.New(*m.TCP)
	case m.TLS != nil:
		return tlscheck.New(*m.TLS)
	case m.GRPC != nil:
		return grpccheck.New(*m.GRPC)
	case m.ICMP != nil:
		return icmpcheck.New(*m.ICMP)
	case m.DNS != nil:
		return dnscheck.New(*m.DNS)
	case m.Exec != nil:
		return execcheck.New(*m.Exec)
	case m.SQL != nil:
		return sqlcheck.New(*m.SQL)
	case m.Prom != nil:
		return promcheck.New(*m.Prom)
	case m.Composite != nil:
		return compositeOf(m, book)
	case m.Heartbeat != nil:
		return book.Heartbeats(*m.Heartbeat), nil
	}
	return nil, errors.New("it has no kind")
}
