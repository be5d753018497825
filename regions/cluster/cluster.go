package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
)

var (
	_ prober.Booth       = (*Cluster)(nil)
	_ controller.World   = (*Cluster)(nil)
	_ controller.Elector = (*Cluster)(nil)
	_ controller.Ledger  = (*Cluster)(nil)
)

// Cluster is this process's access to what the regions share.
type Cluster struct {
	conf    Config
	opts    Options
	keys    keys
	etcd    *clientv3.Client
	member  *member     // nil: etcd is elsewhere
	home    string      // identifies the locked data folder and its member of etcd; empty without one
	process string      // random
	mute    atomic.Bool // a planted fault: no sign of life is sent
	world   *world
	presses presses
	// candidacy is the last one of this process, won or not; nil: none yet.
	candidacy atomic.Pointer[lead]
	tend      *tend         // nil where there is but one member to reach
	timeout   time.Duration // of one request
	boot      func() (id string, at time.Duration, ok bool)
	// sleepless is a clock that goes on while the machine sleeps; 0: none.
	sleepless func() time.Duration
	trouble   *trouble               // with endpoints
	config    atomic.Pointer[string] // nil: that of opts

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	closed error

	strangers strangers

	mu     sync.Mutex
	ending bool  // no goroutine starts any more
	rival  rival // who stood before the last candidacy here
}

// spawn runs f in a goroutine that Close waits for. It reports false, and does
// not run f, once Close has begun.
func (c *Cluster) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.wg.Go(f)
	}
	return !c.ending
}

// Start connects, or embeds a member, as c says. With a single embedded member
// etcd is ready on return. With several, or with endpoints, Start does not
// wait for etcd: until it answers, View is empty and requests fail. But one of
// several members whose folder is empty waits until the others say whether
// there is a cluster. ctx bounds the start only.
func Start(ctx context.Context, c Config, o Options) (*Cluster, error) {
	if err := checkConfig(c); err != nil {
		return nil, err
	}
	if err := checkName("owner", o.Owner); err != nil {
		return nil, err
	}
	c = c.Defaults()
	cl := &Cluster{
		conf: c, opts: o, keys: keysBelow(c.Prefix, o.Owner), timeout: 3*time.Second + 2*c.Election(),
		boot: sinceBoot, sleepless: sleepless, process: newHolder(),
	}
	cl.ctx, cl.cancel = context.WithCancel(context.Background())
	cl.world = newWorld(cl.keys, c.VoteLease, o.Log)
	cl.world.ear = o.Ear
	if err := cl.connect(ctx); err != nil {
		cl.cancel()
		return nil, err
	}
	if cl.member != nil {
		cl.spawn(cl.settle)
	}
	if cl.tend != nil {
		cl.spawn(func() { cl.tend.run(cl.ctx) })
	}
	f := cl.follow(cl.keys.world())
	f.list, f.events, f.proven = cl.world.reset, cl.world.apply, cl.world.proven
	cl.spawn(func() { _ = f.run(cl.ctx) }) // it ends with cl.ctx only
	cl.spawn(func() {
		for pause(cl.ctx, cl.world.expire()) {
		}
	})
	return cl, nil
}

func (c *Cluster) connect(ctx context.Context) error {
	if c.opts.Client && len(c.conf.Endpoints) == 0 && len(c.conf.Members) > 0 {
		if c.conf.Endpoints = c.conf.clients(); len(c.conf.Endpoints) == 0 {
			return errors.New("reach the members of the cluster: none has a client URL in cluster.members")
		}
	}
	if len(c.conf.Endpoints) > 0 {
		var err error
		c.trouble = &trouble{log: c.opts.Log}
		if c.etcd, err = dial(c.conf, c.opts, c.trouble); err == nil && len(c.conf.Endpoints) > 1 {
			if c.tend, err = c.newTend(); err != nil {
				err = errors.Join(err, c.etcd.Close())
			}
		}
		return err
	}
	m, err := startMember(ctx, c.conf, c.opts)
	if err != nil {
		return err
	}
	c.member, c.etcd = m, m.client()
	err = c.bury(ctx)
	if err == nil && len(c.conf.Members) > 1 {
		c.tend, err = c.newTend()
	}
	if err != nil {
		return errors.Join(err, c.etcd.Close(), m.stop())
	}
	return nil
}

// checkConfig makes one error of what Check reports.
func checkConfig(c Config) error {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("cluster."+field+": "+format, args...))
	})
	return errors.Join(errs...)
}

// follow makes a follower of a prefix. Liveness is proven five times a vote
// lease, and must be within half of it.
func (c *Cluster) follow(prefix string) *follower {
	return &follower{
		etcd: c.etcd, prefix: prefix, log: c.opts.Log,
		period: min(c.conf.VoteLease/5, 2*time.Second), patience: max(c.conf.VoteLease/2, time.Second),
	}
}

// bound gives ctx the time-out of one request.
func (c *Cluster) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// Reach asks for any value, and fails if etcd does not answer in time: with
// endpoints, Start does not know.
func (c *Cluster) Reach(ctx context.Context) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	_, err := c.etcd.Get(ctx, c.keys.term())
	if err == nil && c.trouble != nil {
		c.trouble.set(nil)
	}
	switch {
	case err == nil || len(c.conf.Endpoints) == 0:
		return err
	case c.trouble.get() != nil:
		return fmt.Errorf("etcd at %s (cluster.endpoints) refuses this process, or is refused by it: %w", strings.Join(c.conf.Endpoints, ", "), c.trouble.get())
	case ctx.Err() != nil:
		return fmt.Errorf("etcd does not answer at %s (cluster.endpoints): %w", strings.Join(c.conf.Endpoints, ", "), err)
	}
	return fmt.Errorf("etcd at %s (cluster.endpoints): %w", strings.Join(c.conf.Endpoints, ", "), err)
}

// Trouble is why etcd does not serve this process, as far as it is known; a
// request itself only waits. nil: nothing is known to be wrong.
func (c *Cluster) Trouble() error { return c.trouble.get() }

// View implements controller.World. The copy is the caller's.
func (c *Cluster) View() controller.View { return c.world.view() }

// Changed implements controller.World.
func (c *Cluster) Changed() <-chan struct{} { return c.world.wait() }

// Socket is the unix socket on which other processes of this machine reach the
// embedded member, for their cluster.endpoints; empty without a member.
func (c *Cluster) Socket() string {
	if c.member == nil {
		return ""
	}
	return c.member.sock
}

// bury ends what a killed predecessor in this data folder still holds: its
// lock is ours, so it is dead. Without this its leases would have to run out
// before this process can vote and lead. It needs a quorum, so it is done at
// once only with a single member.
func (c *Cluster) bury(ctx context.Context) error {
	home, err := readHome(filepath.Dir(c.member.sock))
	if err != nil {
		return err
	}
	if c.home = home; len(c.conf.Members) > 1 {
		// A copied folder has the same name; no two members of etcd have, unless
		// the member was copied with it: then it is another place.
		if place := c.member.place(); place == "" {
			c.home = ""
		} else {
			c.home += "/" + c.member.etcd.Server.MemberID().String() + "/" + place
		}
		return nil
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	if err := c.reopen(ctx); err != nil {
		return err
	}
	resp, err := c.etcd.Txn(ctx).Then(
		clientv3.OpGet(c.keys.seats(), clientv3.WithPrefix()),
		clientv3.OpGet(c.keys.leader(), clientv3.WithPrefix())).Commit()
	if err != nil {
		return fmt.Errorf("look for what a predecessor holds: %w", err)
	}
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseRange().Kvs {
			who, err := unpack[claim](kv.Value)
			// The seat of a pass outlives it on purpose.
			seat := who.Pass && strings.HasPrefix(string(kv.Key), c.keys.seats())
			if err == nil && who.Home == home && kv.Lease != 0 && !seat {
				c.revoke(clientv3.LeaseID(kv.Lease))
			}
		}
	}
	return nil
}

// predecessor reports whether a claim is of an earlier process that held the very
// lock that this process holds: it is dead. One before the machine's last boot, or
// in a folder that this one is a copy of, may live for all that is known here: its
// leases have to end first.
func (c *Cluster) predecessor(who claim) bool {
	return c.home != "" && who.Home == c.home && who.Process != c.process
}

// reopen ends the alarm by which etcd refuses every write once its database
// was larger than the quota. It would last for ever; the start has rewritten
// the database meanwhile, and where that is still too large etcd says so again.
func (c *Cluster) reopen(ctx context.Context) error {
	alarms, err := c.etcd.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("look for alarms of etcd: %w", err)
	}
	for _, a := range alarms.Alarms {
		if a.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		c.opts.Log.Warn().Msg("etcd refused writes since its database was full: trying again")
		if _, err := c.etcd.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return fmt.Errorf("end the alarm of etcd: %w", err)
		}
	}
	return nil
}

// readHome returns the random name of the data folder, made at its first use.
func readHome(dir string) (string, error) {
	path := filepath.Join(dir, "etcd.id")
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && len(id) == 32 {
		return id, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the name of the data folder: %w", err)
	}
	id := newHolder()
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name the data folder: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return "", fmt.Errorf("name the data folder: %w", err)
	}
	return id, nil
}

// Close ends everything that goes through c, within about ten seconds. Seats
// and leads that were not given up end with their leases.
func (c *Cluster) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		c.ending = true
		c.mu.Unlock()
		c.cancel()
		c.closed = c.etcd.Close()
		if errors.Is(c.closed, context.Canceled) {
			c.closed = nil // what the client says of its own end
		}
		c.wg.Wait()
		if c.member != nil {
			c.closed = errors.Join(c.closed, c.member.stop())
		}
	})
	return c.closed
}
