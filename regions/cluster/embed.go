package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"google.golang.org/grpc"
)

const (
	// quota bounds the database file; the journal and the ledger stay far
	// below it, history included.
	quota = 2 << 30
	// history is how far back a watch can resume before it must list again.
	history = "1m"
	// defragAt is how much free space in the file makes a start rewrite it.
	defragAt = 64
	// requestBytes is etcd's limit on a request, its own default.
	requestBytes = 1536 << 10
	// stopWithin bounds Close.
	stopWithin = 10 * time.Second
	// nowhere is advertised where nothing listens: etcd wants some URL.
	nowhere = "http://127.0.0.1:1"
)

// member is an embedded etcd member: its server, the unix socket on which
// other processes of this machine reach it, and the lock of its folder.
type member struct {
	etcd  *embed.Etcd
	lock  *os.File
	sock  string
	inner string // etcd's own part of the folder
	rpc   *grpc.Server
	end   *end
	guard guard
	stops chan struct{} // closed when stop begins
	once  sync.Once
	wg    sync.WaitGroup
}

// startMember opens or makes the data folder and starts the member. A single
// member is ready when startMember returns; one of several is ready once a
// majority runs. With an empty folder, one of several first waits for what
// the others say; see enter.
func startMember(ctx context.Context, c Config, o Options) (*member, error) {
	if o.DataDir == "" {
		return nil, errors.New("start the embedded etcd: no data_dir is set")
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder %s: %w", o.DataDir, err)
	}
	inner := filepath.Join(dir, "etcd")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if err := os.Chmod(inner, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder private: %w", err)
	}
	m := &member{sock: filepath.Join(dir, "etcd.sock"), inner: inner, end: newEnd(), stops: make(chan struct{})}
	if m.lock, err = lockFolder(ctx, dir); err != nil {
		return nil, err
	}
	if err := m.boot(ctx, c, o); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// boot starts etcd, and waits for it as await does.
func (m *member) boot(ctx context.Context, c Config, o Options) error {
	cfg, err := memberConfig(c, o, m.inner)
	if err != nil {
		return err
	}
	switch removed, err := Removed(filepath.Dir(m.inner)); {
	case err != nil:
		return err
	case removed:
		return &SpoiltError{Folder: m.inner, Err: ErrRemoved}
	}
	unborn, err := removeUnborn(m.inner)
	if err != nil {
		return err
	}
	if unborn {
		o.Log.Warn().Str("folder", m.inner).Msg("the last process was killed while it made this etcd member, before anything was agreed: making it anew")
	}
	cfg.GRPCAdditionalServerOptions = append(cfg.GRPCAdditionalServerOptions, grpc.ChainUnaryInterceptor(m.guard.unary))
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(etcdLogger(o.Log, m.end.options()...))
	old := born(m.inner)
	if err := m.startEtcd(ctx, c, o, cfg, old); err != nil {
		return err
	}
	o.stage(StageStarted)
	if old {
		p, err := newPeers(c, o.Name, cfg.PeerTLSInfo)
		if err == nil {
			err = m.checkMembership(ctx, c, p)
		}
		if err != nil {
			return err
		}
	}
	if err := m.await(ctx, len(c.Members)); err != nil {
		return err
	}
	m.wg.Go(m.mind)
	return m.serve(m.inner)
}

// startEtcd starts etcd on the folder as it is; one of several members with an
// empty folder makes the cluster or joins it first.
func (m *member) startEtcd(ctx context.Context, c Config, o Options, cfg *embed.Config, old bool) (err error) {
	switch {
	case old:
		if err := m.begin(cfg); err != nil {
			return m.spoilt(fmt.Errorf("start the embedded etcd in %s: %w", m.inner, err))
		}
		return nil
	case len(c.Members) <= 1:
		// A name of its own: no two clusters are ever taken for one.
		cfg.InitialClusterToken += "-" + newHolder()
		if err := m.begin(cfg); err != nil {
			return fmt.Errorf("start the embedded etcd in %s: %w", m.inner, err)
		}
		return nil
	}
	for {
		if err := enter(ctx, c, o, cfg, m.inner); err != nil {
			return err
		}
		// What a member tells of the cluster may be a moment old.
		for range 10 {
			if err = m.begin(cfg); err == nil {
				return nil
			}
			if errors.Is(err, ErrEnded) || !pause(ctx, askEvery) {
				return fmt.Errorf("start the embedded etcd in %s: %w", m.inner, err)
			}
			o.Log.Debug().Err(err).Str("member", o.Name).Msg("etcd does not start yet")
		}
		o.Log.Warn().Err(err).Str("member", o.Name).Msg("etcd does not start: asking the other members again")
	}
}

func (m *member) begin(cfg *embed.Config) error {
	etcd, err := m.end.start(cfg)
	if err != nil {
		return err
	}
	m.etcd = etcd
	m.guard.server.Store(etcd.Server)
	return nil
}

// mind notes that etcd ended by itself, as it does when the member was removed;
// where it gave up, it makes it silent to the others, as if the process were gone.
func (m *member) mind() {
	select {
	case <-m.stops:
	case <-m.end.came:
		// A part of it has ended, another may go on: as the leader of etcd it
		// would renew no lease any more, and keep all others from electing one.
		m.etcd.Server.PauseSending()
	case <-m.etcd.Server.StopNotify():
		select {
		case <-m.stops: // it was stopped
		default:
			err := fmt.Errorf("%w (by veer member remove, or another process took its place): to let it in again, move %s away; to go on without a member here, take this region out of cluster.members", ErrRemoved, m.inner)
			m.end.give(errors.Join(err, markRemoved(m.inner)))
		}
	}
}

// memberConfig is the whole of etcd's configuration.
func memberConfig(c Config, o Options, dir string) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.Name = "veer"
	cfg.TickMs = uint(c.Heartbeat().Milliseconds())
	cfg.ElectionMs = uint(c.Election().Milliseconds())
	cfg.QuotaBackendBytes = quota
	cfg.MaxRequestBytes = requestBytes
	cfg.AutoCompactionMode = embed.CompactorModePeriodic
	cfg.AutoCompactionRetention = history
	cfg.BootstrapDefragThresholdMegabytes = defragAt
	// A read that all members agree on takes two round trips: what is as the
	// config declares it is nothing to warn of.
	cfg.WarningApplyDuration += 4 * c.RTT
	cfg.WarningUnaryRequestDuration += 6 * c.RTT
	cfg.EnableGRPCGateway = false
	cfg.InitialClusterToken = "veer-" + o.Owner
	cfg.MaxLearners = maxMembers
	// Veer's own checks know more: who rejoins has lost its folder.
	cfg.StrictReconfigCheck = false
	cfg.ListenPeerUrls, cfg.ListenClientUrls = nil, nil
	peer, client := nowhere, nowhere
	if len(c.Members) > 0 {
		self, ok := c.Members[o.Name]
		if !ok {
			return nil, fmt.Errorf("start the embedded etcd: %q is not in cluster.members (%s)", o.Name, strings.Join(sortedKeys(c.Members), ", "))
		}
		if err := checkMemberTLS(o.Name, self, o.TLS); err != nil {
			return nil, err
		}
		cfg.Name, peer = o.Name, self.Peer
		if self.Client != "" {
			client = self.Client
		}
		if err := listenMember(cfg, self); err != nil {
			return nil, err
		}
	}
	advertisedPeer, err := url.Parse(peer)
	if err != nil {
		return nil, fmt.Errorf("read the peer URL: %w", err)
	}
	advertisedClient, err := url.Parse(client)
	if err != nil {
		return nil, fmt.Errorf("read the client URL: %w", err)
	}
	cfg.AdvertisePeerUrls = []url.URL{*advertisedPeer}
	cfg.AdvertiseClientUrls = []url.URL{*advertisedClient}
	cfg.InitialCluster = initialCluster(c, peer)
	cfg.PeerTLSInfo = tlsInfo(o.TLS)
	cfg.ClientTLSInfo = tlsInfo(o.TLS)
	return cfg, nil
}

func listenMember(cfg *embed.Config, self Member) error {
	peer, err := url.Parse(self.Peer)
	if err != nil {
		return fmt.Errorf("read the peer URL: %w", err)
	}
	cfg.ListenPeerUrls = []url.URL{*peer}
	if self.Client == "" {
		return nil
	}
	client, err := url.Parse(self.Client)
	if err != nil {
		return fmt.Errorf("read the client URL: %w", err)
	}
	cfg.ListenClientUrls = []url.URL{*client}
	return nil
}

func initialCluster(c Config, peer string) string {
	if len(c.Members) == 0 {
		return "veer=" + peer
	}
	var parts []string
	for _, name := range sortedKeys(c.Members) {
		parts = append(parts, name+"="+c.Members[name].Peer)
	}
	return strings.Join(parts, ",")
}

// await waits until the member takes requests: at once when it is alone.
func (m *member) await(ctx context.Context, members int) error {
	if members > 1 {
		return nil
	}
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case err := <-m.etcd.Err():
		return fmt.Errorf("start the embedded etcd: %w", err)
	case <-m.end.came:
		return fmt.Errorf("start the embedded etcd: %w", m.end.err)
	case <-m.etcd.Server.StopNotify():
		return errors.New("start the embedded etcd: it stopped by itself")
	case <-ctx.Done():
		return fmt.Errorf("start the embedded etcd: not ready in time: %w", ctx.Err())
	}
}

// serve opens the unix socket, on a gRPC server of our own: etcd's would add
// an HTTP gateway, a socket open to all, and seconds to every stop.
func (m *member) serve(private string) error {
	l, err := listenSocket(m.sock, private)
	if err != nil {
		return err
	}
	m.rpc = v3rpc.Server(m.etcd.Server, nil, m.guard.unary)
	m.wg.Go(func() { _ = m.rpc.Serve(l) }) // it returns when stop stops it
	return nil
}

// stop ends the member, bounded in time, and frees the folder.
func (m *member) stop() error {
	m.once.Do(func() { close(m.stops) })
	if m.rpc != nil {
		m.rpc.Stop()
	}
	m.wg.Wait()
	if m.rpc != nil {
		if err := os.Remove(m.sock); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the socket: %w", err)
		}
	}
	if m.etcd == nil {
		return unlockFolder(m.lock)
	}
	if err := m.end.error(); err != nil && !errors.Is(err, ErrRemoved) {
		return nil // what is left of it holds locks that nothing frees
	}
	done := make(chan struct{})
	go func() { // it ends with the process at the latest
		defer close(done)
		select {
		case <-m.etcd.Server.ReadyNotify():
		default: // etcd waits for a member that never had a quorum before it would stop it
			m.etcd.Server.HardStop()
		}
		m.etcd.Close()
	}()
	select {
	case <-done:
		return unlockFolder(m.lock)
	case <-time.After(stopWithin):
		return fmt.Errorf("stop the embedded etcd: it still runs after %s", stopWithin)
	}
}
