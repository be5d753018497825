//go:build realservers

package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
)

// shared is an etcd of others, with users. Veer's may do nothing but read and
// write below its prefix.
type shared struct {
	endpoint string
	root     *clientv3.Client
	access   cluster.Config
	password string // a file
}

const (
	sharedPrefix = "/team-a/veer"
	rootPassword = "root-secret"
)

func startShared(t *testing.T, flags ...string) *shared {
	t.Helper()
	s := &shared{endpoint: startEtcd(t, append(flags, "--bcrypt-cost", "4")...), password: filepath.Join(t.TempDir(), "password")}
	s.setPassword(t, "veer-secret")
	s.access = cluster.Config{Prefix: sharedPrefix, User: "veer", PasswordFile: s.password}
	allow(t, s.client(t, "", ""), "veer")
	s.root = s.client(t, "root", rootPassword)
	return s
}

// allow makes users: one who may read and write below the prefix, and root.
func allow(t *testing.T, plain *clientv3.Client, user string) {
	t.Helper()
	ctx := within(t)
	for _, err := range []error{
		second(plain.RoleAdd(ctx, "veer")),
		// As docs/configuration.md tells: etcdctl role grant-permission veer --prefix=true readwrite /team-a/veer/
		second(plain.RoleGrantPermission(ctx, "veer", sharedPrefix+"/", clientv3.GetPrefixRangeEnd(sharedPrefix+"/"), clientv3.PermissionType(clientv3.PermReadWrite))),
		second(plain.UserAdd(ctx, user, "veer-secret")),
		second(plain.UserGrantRole(ctx, user, "veer")),
		second(plain.UserAdd(ctx, "root", rootPassword)),
		second(plain.UserGrantRole(ctx, "root", "root")),
		second(plain.AuthEnable(ctx)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func (s *shared) client(t *testing.T, user, password string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.endpoint}, Username: user, Password: password, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (s *shared) setPassword(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.password, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// config is that of a process.
func (s *shared) config() cluster.Config {
	c := fast()
	c.Endpoints, c.Prefix, c.User, c.PasswordFile = []string{s.endpoint}, s.access.Prefix, s.access.User, s.access.PasswordFile
	return c
}

// others are all keys that are not below the prefix, with their revisions.
func (s *shared) others(t *testing.T) map[string]string {
	t.Helper()
	resp, err := s.root.Get(within(t), "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, kv := range resp.Kvs {
		if !strings.HasPrefix(string(kv.Key), sharedPrefix+"/test") {
			out[string(kv.Key)] = fmt.Sprintf("%s at %d, made at %d, version %d, lease %d", kv.Value, kv.ModRevision, kv.CreateRevision, kv.Version, kv.Lease)
		}
	}
	return out
}

// TestSharedEtcd runs the suite with the least rights, many Veers beside each
// other, and then looks at what is not theirs: no key is another, and nothing
// of the history is gone.
func TestSharedEtcd(t *testing.T) {
	t.Parallel()
	s := startShared(t)
	foreign := []string{"/other", "/team-a/vee", "/team-a/veer", "/team-a/veer-2", "/team-a/veer/", "/team-a/veer0", "/team-a/veer/another/term", "/team-a/veer/another/journal/1", "/veer/test1/term", "/veer/test1/leader/1", "zz"}
	var first int64
	for round := range 3 {
		for _, key := range foreign {
			resp, err := s.root.Put(within(t), key, fmt.Sprint("round ", round))
			if err != nil {
				t.Fatal(err)
			}
			if first == 0 {
				first = resp.Header.Revision
			}
		}
	}
	before := s.others(t)
	if len(before) != len(foreign) {
		t.Fatalf("found %v", before)
	}
	var n atomic.Int64
	t.Run("suite", func(t *testing.T) {
		clustertest.RunUncompacted(t, func(t *testing.T) clustertest.Rig {
			owner := fmt.Sprintf("test%d", n.Add(1))
			return clustertest.Rig{Owner: owner, Endpoint: s.endpoint, Access: s.access, Root: "root", RootPassword: rootPassword, Open: func(name string) *cluster.Cluster {
				return start(t, s.config(), cluster.Options{Owner: owner, Name: name})
			}}
		})
	})
	t.Run("passes", s.passes)
	after := s.others(t)
	for key, was := range before {
		if after[key] != was {
			t.Errorf("%s was %s, and is %s", key, was, after[key])
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d keys outside, there were %d: %v", len(after), len(before), after)
	}
	old, err := s.root.Get(within(t), foreign[0], clientv3.WithRev(first))
	if err != nil || len(old.Kvs) != 1 || string(old.Kvs[0].Value) != "round 0" {
		t.Errorf("revision %d cannot be read any more: %v", first, err)
	}
}

// passes is what the suite does not do: passes and the time between them, marks
// of zones, requests to the leader, notes.
func (s *shared) passes(t *testing.T) {
	open := func(name string, lease time.Duration) *cluster.Cluster {
		return start(t, s.config(), cluster.Options{Owner: "testpass", Name: name, Pass: lease})
	}
	daemon, pass := open("us", 0), open("eu", time.Minute)
	seat := joinPass(t, pass, "eu")
	castPass(t, seat, ballot("eu", checks.Up, "e"), prober.Memory{Kept: kept})
	if m, err := joinPass(t, pass, "eu").Recall(within(t)); err != nil || len(m.Kept) != len(kept) || !m.Fresh {
		t.Errorf("recalled %+v (%v)", m, err)
	}
	if got := survey(t, pass); len(got) != 1 {
		t.Errorf("surveyed %v", got)
	}
	pauseAt(t, pass, 0, false)
	pauseAt(t, pass, 0, true)
	var leads atomic.Bool
	var done atomic.Int32
	leads.Store(true)
	answerer(t, daemon, "us", &leads, &done)
	if leader, _, err := pass.Ask(within(t), json.RawMessage("1")); err != nil || leader != "us" {
		t.Errorf("%q answered (%v)", leader, err)
	}
	l, err := daemon.Campaign(within(t), "us")
	if err != nil {
		t.Fatal(err)
	}
	z := controller.ZoneID{Provider: "aws", Zone: "example.test."}
	if err := errors.Join(daemon.Mark(within(t), l, z), daemon.Unmark(within(t), l, z)); err != nil {
		t.Error(err)
	}
	if marked, err := daemon.Marked(within(t)); err != nil || len(marked) != 0 {
		t.Errorf("marked are %v (%v)", marked, err)
	}
	if name, err := daemon.Daemon(within(t)); err != nil || name != "us" {
		t.Errorf("%q leads (%v)", name, err)
	}
	if err := daemon.JournalNote(within(t), cluster.Note{Time: time.Now(), By: "lea", Act: "freeze", Why: "because"}); err != nil {
		t.Error(err)
	}
	if notes, err := daemon.Notes(within(t), 10); err != nil || len(notes) != 1 {
		t.Errorf("noted %v (%v)", notes, err)
	}
}

// TestManyVeersOnOneEtcd: another owner, or another prefix, is another world.
func TestManyVeersOnOneEtcd(t *testing.T) {
	t.Parallel()
	endpoint := startEtcd(t)
	var leads []controller.Lead
	for _, w := range []struct{ prefix, owner string }{{"", "a"}, {"", "b"}, {"/team-a/veer", "a"}, {"/a/veer", "veer"}, {"/veer2/veer", "a"}} {
		c := fast()
		c.Endpoints, c.Prefix = []string{endpoint}, w.prefix
		cl := start(t, c, cluster.Options{Owner: w.owner, Name: "eu"})
		seat, err := cl.Join(within(t), "eu")
		if err != nil {
			t.Fatalf("%v: the seat is another's: %v", w, err)
		}
		if err := seat.Cast(within(t), regions.Ballot{Vantage: "eu"}); err != nil {
			t.Fatal(err)
		}
		l, err := cl.Campaign(within(t), "eu")
		if err != nil {
			t.Fatalf("%v: %v", w, err)
		}
		if l.Term() != 1 {
			t.Errorf("%v: term %d, want 1", w, l.Term())
		}
		leads = append(leads, l)
	}
	for i, l := range leads {
		select {
		case <-l.Done():
			t.Errorf("leader %d was displaced", i)
		default:
		}
	}
}
