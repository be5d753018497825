package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// dial makes a client of an etcd that runs elsewhere. It does not wait for a
// connection: requests do, as long as their contexts allow.
func dial(c Config, o Options) (*clientv3.Client, error) {
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
		DialKeepAliveTime:    5 * time.Second,
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
		var err error
		if cfg.TLS, err = clientTLS(o.TLS); err != nil {
			return nil, err
		}
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client of etcd at %s: %w", strings.Join(c.Endpoints, ", "), err)
	}
	return client, nil
}

func clientTLS(t TLS) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA of etcd: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("read the CA of etcd: " + t.CAFile + " holds no PEM certificate")
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate for etcd: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
