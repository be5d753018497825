package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// tendEvery is how often each member is asked whether it is well. A member
	// that hangs is left after at most twice this and tendWithin.
	tendEvery = time.Second
	// rttSamples is of how many round trips the shortest counts: a busy
	// machine makes some of them long, and none short.
	rttSamples = 15
)

// tended is a member that this process reaches by its client URL.
type tended struct {
	name   string // in cluster.members; else the URL
	url    string // as the client of all knows it
	client *clientv3.Client
	bad    bool
	rtts   []time.Duration
}

// tend watches the members from here: it measures the round trip to each, and
// keeps a client's requests away from those that hang, are cut off from the
// others, or only learn.
type tend struct {
	all    []*tended
	etcd   *clientv3.Client // nil: nothing but measure
	within time.Duration

	mu sync.Mutex
}

// newTend makes clients of each member but this process's own.
func (c *Cluster) newTend() (*tend, error) {
	t := &tend{within: time.Second + 2*c.conf.RTT}
	urls, names := c.conf.Endpoints, []string(nil)
	if c.member == nil {
		t.etcd = c.etcd
	} else {
		urls = nil
	}
	for _, name := range sortedKeys(c.conf.Members) {
		u := c.conf.Members[name].Client
		if u == "" || c.member != nil && name == c.opts.Name {
			continue
		}
		names = append(names, name)
		if c.member != nil {
			urls = append(urls, u)
		}
	}
	if len(names) != len(urls) {
		names = urls // an etcd of others
	}
	for i, u := range urls {
		client, err := dial(Config{Endpoints: []string{u}}, c.opts, &trouble{log: zerolog.Nop()}) // the client of all says it
		if err != nil {
			t.close()
			return nil, err
		}
		one := &tended{name: names[i], url: u, client: client}
		if t.etcd != nil {
			one.url = t.etcd.Endpoints()[i]
		}
		t.all = append(t.all, one)
	}
	return t, nil
}

func (t *tend) close() {
	for _, one := range t.all {
		_ = one.client.Close() // it only asked
	}
}

// run asks until ctx ends.
func (t *tend) run(ctx context.Context) {
	defer t.close()
	for pause(ctx, tendEvery) {
		var wg sync.WaitGroup
		well := make([]bool, len(t.all))
		for i, one := range t.all {
			wg.Go(func() { well[i] = t.ask(ctx, one) })
		}
		wg.Wait()
		if ctx.Err() == nil && t.etcd != nil && len(t.all) > 1 {
			t.choose(well)
		}
	}
}

// ask asks one member, and notes how long the answer took.
func (t *tend) ask(ctx context.Context, one *tended) bool {
	ctx, cancel := context.WithTimeout(ctx, t.within)
	defer cancel()
	began := time.Now()
	resp, err := etcdserverpb.NewMaintenanceClient(one.client.ActiveConnection()).Status(ctx, &etcdserverpb.StatusRequest{})
	took := time.Since(began)
	if err != nil {
		return false
	}
	t.mu.Lock()
	one.rtts = append(one.rtts, took)
	if len(one.rtts) > rttSamples {
		one.rtts = one.rtts[1:]
	}
	t.mu.Unlock()
	return resp.Leader != 0 && !resp.IsLearner
}

// choose gives the client the members that are well; all, where none is.
func (t *tend) choose(well []bool) {
	changed := false
	var urls []string
	for i, one := range t.all {
		changed = changed || one.bad == well[i]
		one.bad = !well[i]
		if well[i] {
			urls = append(urls, one.url)
		}
	}
	if !changed {
		return
	}
	if len(urls) == 0 {
		for _, one := range t.all {
			urls = append(urls, one.url)
		}
	}
	t.etcd.SetEndpoints(urls...)
}

// measured are the shortest of the last round trips, by member.
func (t *tend) measured() map[string]time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]time.Duration{}
	for _, one := range t.all {
		if len(one.rtts) == rttSamples {
			out[one.name] = slices.Min(one.rtts)
		}
	}
	return out
}

// RTT is the round trip to each other member as it is measured here; empty
// until there are enough measures of it.
func (c *Cluster) RTT() map[string]time.Duration {
	if c.tend == nil {
		return nil
	}
	return c.tend.measured()
}
