package cluster

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// dial makes a client of an etcd that runs elsewhere. It does not wait for a
// connection: requests do, as long as their contexts allow; t is told why they
// wait.
func dial(c Config, o Options, t *trouble) (*clientv3.Client, error) {
	aliases := map[string]string{}
	var endpoints []string
	secure := false
	for i, e := range c.Endpoints {
		if path, ok := strings.CutPrefix(e, "unix://"); ok {
			alias := "veer" + strconv.Itoa(i)
			aliases[alias] = path
			e = "unix:///" + alias
		}
		secure = secure || strings.HasPrefix(e, "https:")
		endpoints = append(endpoints, e)
	}
	cfg := clientv3.Config{
		Endpoints: endpoints,
		Logger:    etcdLogger(o.Log),
		// A server refuses pings that come more often than every 5 s.
		DialKeepAliveTime:    cmp.Or(o.KeepAlive, 5*time.Second),
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(socketDialer(aliases)),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: 2 * time.Second,
			}),
		},
	}
	if secure {
		first, err := clientTLS(o.TLS) // what cannot be read now is said now
		if err != nil {
			return nil, err
		}
		cfg.TLS = first
		cfg.DialOptions = append(cfg.DialOptions, grpc.WithTransportCredentials(reloading{o.TLS, t}))
	}
	if c.User != "" {
		cfg.DialOptions = append(cfg.DialOptions, newUser(c, o, t).options()...)
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client of etcd at %s: %w", strings.Join(c.Endpoints, ", "), err)
	}
	if c.User != "" {
		client.Watcher = &ownStreams{Watcher: client.Watcher}
	}
	return client, nil
}
