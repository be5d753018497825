package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// patience bounds every wait for an event; no test passes by waiting so long.
const patience = 60 * time.Second

const appName = "app.example.test."

var vantageNames = []string{"eu-west", "us-east", "ap-south"}

const labZone = `$TTL 60
@   IN SOA ns1 hostmaster 1 7200 1800 259200 60
@   IN NS  ns1
ns1 IN A   127.0.0.1
`

const labConfig = `owner: lab
regions: [eu-west, us-east, ap-south]
providers:
  here: {kind: authority, listen: ["127.0.0.1:0"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: http, path: /, port: %d, interval: 300ms, timeout: 150ms, fall: 2, rise: 2, recheck: 30ms}
services:
  - name: app.example.test
    monitor: web
    pools:
      - {region: eu-west, endpoints: [127.0.0.11]}
      - {region: us-east, endpoints: [127.0.0.12]}
      - {region: ap-south, endpoints: [127.0.0.13]}
    ttl: {min: 1s, max: 5s}
    rto: 60s
    failback: {mode: auto, hold: 1s}
    damping: off
  - name: %s
    monitor: web
    pools:
      - {region: eu-west, endpoints: [127.0.0.11]}
      - {region: us-east, endpoints: [127.0.0.12]}
    ttl: {min: 1s, max: 5s}
`

// lab is a folder with a config, three backends, and daemons on it.
type lab struct {
	t        testing.TB
	dir      string
	port     int
	backends map[string]*backend
	pulse    chan struct{}
	open     daemon.Opener  // of written providers; nil: the real ones
	reload   chan os.Signal // of daemons that start from now on; nil: never

	mu       sync.Mutex
	daemons  map[string]*running
	server   string // the DNS server's address
	servers  map[string]string
	listens  map[string]string // where /metrics is, with host.http
	observer *cluster.Cluster
}

// running is one daemon in this process.
type running struct {
	region  string
	stop    context.CancelFunc
	done    chan error
	started chan struct{}
	dataDir string
	reload  chan os.Signal
}

// newLab makes the folder, whose path is short enough for sockets.
func newLab(t testing.TB) *lab {
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{t: t, dir: dir, backends: map[string]*backend{}, daemons: map[string]*running{}, pulse: make(chan struct{}, 1), servers: map[string]string{}, listens: map[string]string{}}
	l.openBackends()
	l.write("example.test.zone", labZone)
	l.write("veer.yaml", fmt.Sprintf(labConfig, l.port, markerName()))
	return l
}

func (l *lab) write(name, text string) {
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// read is a file of the lab.
func (l *lab) read(name string) string {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}

// edit replaces parts of the config.
func (l *lab) edit(change ...string) {
	l.t.Helper()
	l.write("veer.yaml", strings.NewReplacer(change...).Replace(l.read("veer.yaml")))
}

// patient are a lab's monitors for a test that needs votes to stand, however busy
// the machine is: a vantage that sees to a probe later than a quarter of its
// time-out, which is 100 ms at least, says unknown, and unknown moves nothing.
func patient() []string {
	return []string{"interval: 300ms, timeout: 150ms, fall: 2, rise: 2", "interval: 4s, timeout: 4s, fall: 2, rise: 1"}
}

// config loads the lab's config as one region's host does.
func (l *lab) config(region string, endpoints ...string) *config.Config {
	return l.configIn(region, region, endpoints...)
}

// configIn is the config with a data folder of another name than the region's.
func (l *lab) configIn(region, data string, endpoints ...string) *config.Config {
	c, err := l.load(region, filepath.Join(l.dir, data), endpoints)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// again loads the config that c was loaded from, as it is then.
func (l *lab) again(c *config.Config) func() (*config.Config, error) {
	return func() (*config.Config, error) {
		return l.load(string(c.Host.Region), c.Host.DataDir, c.Cluster.Endpoints)
	}
}

func (l *lab) load(region, dataDir string, endpoints []string) (*config.Config, error) {
	env := map[string]string{"VEER_REGION": region, "VEER_DATA_DIR": dataDir}
	if len(endpoints) > 0 {
		env["VEER_CLUSTER_ENDPOINTS"] = strings.Join(endpoints, ",")
	}
	return config.Load(filepath.Join(l.dir, "veer.yaml"), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func (l *lab) socket() string { return "unix://" + filepath.Join(l.dir, "eu-west", "etcd.sock") }

// kick wakes whoever waits for something to change.
func (l *lab) kick() {
	select {
	case l.pulse <- struct{}{}:
	default:
	}
}

// start starts a region's daemon: the first with all roles and etcd in it, the
// others as probers that join it.
func (l *lab) start(region string, roles ...string) *running {
	c := l.config(region)
	if region != vantageNames[0] {
		c = l.config(region, l.socket())
	}
	r := l.launch(region, c, roles...)
	l.await(r)
	return r
}

// launch starts a daemon under a name, and does not wait for it.
func (l *lab) launch(region string, c *config.Config, roles ...string) *running {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{region: region, stop: stop, done: make(chan error, 1), started: make(chan struct{}), dataDir: c.Host.DataDir, reload: l.reload}
	var once sync.Once
	log := zerolog.New(zerolog.NewTestWriter(l.t)).Level(zerolog.InfoLevel).With().Str("host", region).Logger()
	o := daemon.Options{Config: c, ConfigPath: "veer.yaml", Roles: roles, Version: "test", Log: log, Open: l.open, Reload: l.reload, Load: l.again(c), Hooks: daemon.Hooks{
		Started: func(stage string) {
			if stage == daemon.StageController {
				once.Do(func() { close(r.started) })
			}
		},
		Serving: func(addresses []string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.server = addresses[0]
			l.servers[region] = addresses[0]
		},
		HTTP: func(address string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.listens[region] = address
			l.kick()
		},
		AfterCommit: func(steering.Shard) { l.kick() },
		Swapped:     func([]steering.Shard) { l.kick() },
	}}
	go func() { r.done <- daemon.Run(ctx, o) }()
	l.daemons[region] = r
	l.t.Cleanup(func() { l.halt(region) })
	return r
}

// await waits until a daemon has started.
func (l *lab) await(r *running) {
	l.t.Helper()
	select {
	case <-r.started:
	case err := <-r.done:
		delete(l.daemons, r.region) // nothing is left to halt
		l.t.Fatalf("%s ended while it started: %v", r.region, err)
	case <-time.After(patience):
		l.t.Fatalf("%s did not start", r.region)
	}
}

// halt stops a region's daemon in good order.
func (l *lab) halt(region string) {
	r := l.daemons[region]
	if r == nil {
		return
	}
	delete(l.daemons, region)
	r.stop()
	if err := <-r.done; err != nil {
		l.t.Errorf("%s: %v", region, err)
	}
}

// serverOf is where a region's authority serves.
func (l *lab) serverOf(region string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.servers[region]
}

// watch opens a client of etcd of the test's own, which wakes the test.
func (l *lab) watch() *cluster.Cluster { return l.watchAt(filepath.Join(l.dir, "eu-west")) }

func (l *lab) watchAt(dir string) *cluster.Cluster {
	cl, err := cluster.Start(l.t.Context(), cluster.Config{Endpoints: []string{"unix://" + filepath.Join(dir, "etcd.sock")}}, cluster.Options{Owner: "lab", Name: "observer", Log: zerolog.Nop()})
	if err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			changed := cl.Changed()
			l.kick()
			select {
			case <-changed:
			case <-done:
				return
			}
		}
	})
	l.t.Cleanup(func() {
		close(done)
		wg.Wait()
		if err := cl.Close(); err != nil {
			l.t.Errorf("closing the observer: %v", err)
		}
	})
	l.observer = cl
	return cl
}

// until waits, from event to event, until ok.
func (l *lab) until(what string, ok func() bool) {
	l.t.Helper()
	late := time.After(patience)
	for !ok() {
		select {
		case <-l.pulse:
		case <-late:
			l.t.Fatalf("%s: it did not come to be; the answer is %v", what, l.query())
		}
	}
}

// query asks the authority over UDP for the service's address; an answer that
// is empty or no NOERROR fails the test (property 4).
func (l *lab) query() []string {
	l.t.Helper()
	data, err := ask(l.server, appName)
	if err != nil {
		l.t.Fatal(err)
	}
	return data
}

// ask returns the addresses of a name.
func ask(server, name string) ([]string, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, server)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", server, err)
	}
	if r.Rcode != dns.RcodeSuccess || !r.Authoritative {
		return nil, fmt.Errorf("rcode %s, authoritative %v", dns.RcodeToString[r.Rcode], r.Authoritative)
	}
	var data []string
	for _, rr := range r.Answer {
		if a, ok := rr.(*dns.A); ok {
			data = append(data, a.A.String())
		}
	}
	if len(data) == 0 {
		return nil, errors.New("the answer is empty")
	}
	slices.Sort(data)
	return data, nil
}

// answers waits until the service has the address.
func (l *lab) answers(want string) {
	l.t.Helper()
	l.until("answer "+want, func() bool { return slices.Equal(l.query(), []string{want}) })
}

// client speaks to a region's daemon.
func (l *lab) client(region string) *api.Client {
	return api.NewClient(filepath.Join(l.dir, region, api.SocketName))
}

// votes waits until the observer sees a vantage say what on an endpoint.
func (l *lab) votes(vantage regions.Name, id regions.EndpointID, want string) {
	l.t.Helper()
	l.until(fmt.Sprintf("%s votes %s %s", vantage, id, want), func() bool {
		for _, b := range l.observer.View().Ballots {
			for _, v := range b.Votes {
				if b.Vantage == vantage && v.Endpoint == id && v.Health.String() == want {
					return true
				}
			}
		}
		return false
	})
}

// markerName is a service in the ledger shard of app.
func markerName() string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("m%d.example.test.", i)
		if steering.ShardOf(name) == steering.ShardOf(appName) {
			return name
		}
	}
}

// flush returns when the authority serves what the leader made of everything
// that was in etcd before the call. It forces a service of the same shard to
// the other of its two pools: votes and orders are heard in order, and one
// commit and one swap hold the whole shard.
func (l *lab) flush() {
	l.t.Helper()
	marker := func() []string {
		data, err := ask(l.server, markerName())
		if err != nil {
			l.t.Fatal(err)
		}
		return data
	}
	region, want := vantageNames[1], "127.0.0.12"
	if slices.Equal(marker(), []string{want}) {
		region, want = vantageNames[0], "127.0.0.11"
	}
	if _, err := l.client("eu-west").Order(l.t.Context(), api.OrderRequest{Act: steering.Force, Why: "flush",
		Target: steering.Target{Service: markerName(), Region: regions.Name(region)}}, false); err != nil {
		l.t.Fatal(err)
	}
	l.until("marker "+want, func() bool { return slices.Equal(marker(), []string{want}) })
}
