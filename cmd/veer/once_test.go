package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers/route53/route53test"
	"github.com/veerdns/veer/regions/cluster"
)

const onceConfig = `owner: e2e
cluster: {endpoints: ["unix://%s"]}
regions: [eu-west, us-east, ap-south]
providers:
  aws: {kind: route53, zones: [{name: example.test, id: Z0WORLD}], endpoint: "%s", sts_endpoint: "%[2]s", credentials_file: "%s"}
monitors:
  web: {kind: http, path: /, port: %s, interval: 5s, timeout: 2s, fall: 2, rise: 1, recheck: 20ms}
services:
  - name: app.example.test
    monitor: web
    pools:
      - {region: eu-west, endpoints: [127.0.0.11]}
      - {region: us-east, endpoints: [127.0.0.12]}
    ttl: {min: 1s, max: 5s}
    failback: {mode: auto, hold: %s}
    damping: off
schedule: 30s
`

// backends are HTTP servers on one port of two addresses.
type backends struct {
	t    *testing.T
	port string
	mu   sync.Mutex
	down map[string]bool
}

func startBackends(t *testing.T, addresses ...string) *backends {
	t.Helper()
	b := &backends{t: t, down: map[string]bool{}}
	port := "0"
	for range 20 { // until a port is free on all addresses
		var all []net.Listener
		port = "0"
		var err error
		for _, a := range addresses {
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(a, port)); err != nil {
				break
			}
			all = append(all, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
			continue
		}
		b.port = port
		for _, l := range all {
			b.serve(l)
		}
		return b
	}
	t.Fatal("no port is free on all addresses")
	return nil
}

func (b *backends) serve(l net.Listener) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		host, _, _ := net.SplitHostPort(r.Host)
		if b.down[host] {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	b.t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
}

func (b *backends) set(address string, down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down[address] = down
}

// scheduled is a place where a scheduler runs `veer once`, as processes.
type scheduled struct {
	t    *testing.T
	dir  string
	zone *route53test.Server
	web  *backends
}

func startScheduled(t *testing.T, hold time.Duration) *scheduled {
	t.Helper()
	dir, err := os.MkdirTemp("", "v") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	zone, err := route53test.New(route53test.Options{
		Zones:   []route53test.Zone{{ID: route53test.ZoneID, Name: "example.test."}},
		Without: []route53test.Rule{route53test.ThrottleAccount, route53test.ThrottleAction},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &scheduled{t: t, dir: dir, zone: zone, web: startBackends(t, "127.0.0.11", "127.0.0.12")}
	server := httptest.NewServer(zone)
	t.Cleanup(server.Close)
	etcd, err := cluster.Start(t.Context(), cluster.Config{}, cluster.Options{Owner: "host", Name: "host", DataDir: filepath.Join(dir, "etcd"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := etcd.Close(); err != nil {
			t.Error(err)
		}
	})
	s.write(fmt.Sprintf(onceConfig, etcd.Socket(), server.URL, route53test.CredentialsFile(t), s.web.port, hold))
	return s
}

func (s *scheduled) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "veer.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// veer runs a command as a process and returns its exit code and output.
func (s *scheduled) veer(region string, args ...string) (int, string, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "veer", append(args, "-c", filepath.Join(s.dir, "veer.yaml"), "--data-dir", filepath.Join(s.dir, region))...)
	cmd.Env = append(os.Environ(), "VEER_REGION="+region)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("veer %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// once makes a pass in a region.
func (s *scheduled) once(region string) (int, api.Pass, string) {
	s.t.Helper()
	code, out, errs := s.veer(region, "once", "-o", "json")
	var p api.Pass
	if err := json.Unmarshal([]byte(out), &p); err != nil && out != "" {
		s.t.Fatalf("%v in %s", err, out)
	}
	return code, p, errs
}

// round makes a pass in every region at the same time.
func (s *scheduled) round(regions ...string) {
	s.t.Helper()
	var all sync.WaitGroup
	for _, r := range regions {
		all.Go(func() {
			if code, p, errs := s.once(r); code != exitDone {
				s.t.Errorf("%s: exit code %d, %+v\n%s", r, code, p, errs)
			}
		})
	}
	all.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// begin makes the first passes, one after another: the first ones have no
// quorum yet.
func (s *scheduled) begin() {
	s.t.Helper()
	for i, r := range everywhere {
		if code, p, errs := s.once(r); code != exitDone && (i > 0 || p.Result != api.PassUnknown) {
			s.t.Fatalf("%s: exit code %d, %+v\n%s", r, code, p, errs)
		}
	}
}

func (s *scheduled) answer() string {
	var data []string
	for _, set := range s.zone.All(route53test.ZoneID) {
		if set.Type == "A" {
			for _, v := range set.ResourceRecords {
				data = append(data, v.Value)
			}
		}
	}
	return strings.Join(data, " ")
}

func (s *scheduled) writes() int { return s.zone.Calls()["ChangeResourceRecordSets"] }

func (s *scheduled) want(answer string) {
	s.t.Helper()
	if got := s.answer(); got != answer {
		s.t.Fatalf("the zone answers %q, want %q", got, answer)
	}
}

// Three regions' passes, as processes that share an etcd, fail over and back,
// keep the hold from pass to pass, and write nothing while nothing changes.
func TestOnceInThreeRegions(t *testing.T) {
	t.Parallel()
	const hold = 2 * time.Second
	s := startScheduled(t, hold)
	all := everywhere
	if code, p, _ := s.once("eu-west"); code != exitRefused || p.Result != api.PassUnknown {
		t.Fatalf("one of three votes: exit code %d, %+v", code, p)
	}
	if n := s.writes(); n != 0 {
		t.Fatalf("an unknown state made %d writes", n)
	}
	s.begin()
	s.want("127.0.0.11")
	steady := s.writes()
	s.round(all...)
	if n := s.writes(); n != steady {
		t.Fatalf("a round that changes nothing made %d writes", n-steady)
	}

	s.web.set("127.0.0.11", true)
	s.round(all...)
	s.want("127.0.0.12")
	s.web.set("127.0.0.11", false)
	began := time.Now()
	s.round(all...)
	s.want("127.0.0.12")
	for s.answer() != "127.0.0.11" {
		if s.round(all...); time.Since(began) > time.Minute {
			t.Fatal("traffic never returns")
		}
	}
	if away := time.Since(began); away < hold {
		t.Errorf("a hold of %s ended after %s", hold, away)
	}

	// A region that is lost is outvoted by the other two.
	s.web.set("127.0.0.11", true)
	s.round("us-east", "ap-south")
	s.want("127.0.0.12")
}

// Where a daemon runs on the data_dir it makes the pass; one that only shares
// the etcd keeps its vote, and decides.
func TestOnceBesideADaemon(t *testing.T) {
	l := startLive(t)
	l.until("eu-west up 1/1, us-east up 1/1", "status")
	l.expect(exitDone, "unchanged  everything is as it should be\neu-west votes: 2 up\n", "once")
	l.expect(exitDone, `"daemon": true`, "once", "-o", "json")

	dir := filepath.Dir(l.path)
	text, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	apart := strings.Replace(string(text), "data_dir: data", "data_dir: apart", 1) +
		fmt.Sprintf("schedule: 1m\ncluster: {endpoints: [\"unix://%s\"]}\n", filepath.Join(dir, "data", "etcd.sock"))
	if err := os.WriteFile(l.path, []byte(apart), 0o600); err != nil {
		t.Fatal(err)
	}
	l.expect(exitRefused, "a daemon votes for eu-west", "once")
	apart = strings.Replace(apart, "vantages: [eu-west]", "vantages: [eu-west, us-east]", 1)
	apart = strings.Replace(apart, "host: {region: eu-west", "host: {region: us-east", 1)
	if err := os.WriteFile(l.path, []byte(apart), 0o600); err != nil {
		t.Fatal(err)
	}
	l.expect(exitDone, "voted  the votes are cast; the daemon in eu-west decides", "once")
}
