package cluster

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// TestEtcdEndsAlone: what etcd calls fatal ends etcd and not the process.
func TestEtcdEndsAlone(t *testing.T) {
	for _, ends := range []func(*zap.Logger, string, ...zap.Field){(*zap.Logger).Fatal, (*zap.Logger).Panic} {
		e := newEnd()
		log := etcdLogger(zerolog.Nop(), e.options()...)
		returned := make(chan bool, 1)
		go func() {
			defer func() { close(returned) }()
			ends(log, "failed to commit tx", zap.Error(os.ErrClosed))
			returned <- true
		}()
		<-e.came
		if <-returned {
			t.Error("etcd goes on after what it called fatal")
		}
		if err := e.error(); !errors.Is(err, ErrEnded) || !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "failed to commit tx") {
			t.Errorf("the end says %v", err)
		}
	}
}

// TestCloseAfterTheEnd: a Cluster whose etcd gave up can be closed.
func TestCloseAfterTheEnd(t *testing.T) {
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c, err := Start(t.Context(), Config{}, Options{Owner: "test", Name: "one", DataDir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	if c.Err() != nil {
		t.Fatalf("it ended already: %v", c.Err())
	}
	log := etcdLogger(zerolog.Nop(), c.member.end.options()...)
	go log.Fatal("failed to commit tx")
	<-c.Ended()
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close waits for an etcd that is gone")
	}
}

// TestAFullDatabaseIsWrittenAgain: etcd's alarm does not outlast a restart.
func TestAFullDatabaseIsWrittenAgain(t *testing.T) {
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	start := func() *Cluster {
		c, err := Start(t.Context(), Config{}, Options{Owner: "test", Name: "one", DataDir: dir, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	write := func(c *Cluster) error {
		_, err := c.etcd.Put(t.Context(), "some", "thing")
		return err
	}
	c := start()
	server := c.member.etcd.Server
	if _, err := server.Alarm(t.Context(), &etcdserverpb.AlarmRequest{
		Action: etcdserverpb.AlarmRequest_ACTIVATE, Alarm: etcdserverpb.AlarmType_NOSPACE, MemberID: uint64(server.MemberID()),
	}); err != nil {
		t.Fatal(err)
	}
	if write(c) == nil {
		t.Error("the alarm has no effect")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = start()
	if err := write(c); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAQuietStart: a start in which nothing is wrong logs nothing but that the
// machine is slow, where it is.
func TestAQuietStart(t *testing.T) {
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var out strings.Builder
	log := zerolog.New(zerolog.SyncWriter(&out)).Level(zerolog.WarnLevel)
	c, err := Start(t.Context(), Config{}, Options{Owner: "test", Name: "one", DataDir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	slow := []string{"slow fdatasync", "took too long", "overloaded", "pending configuration changes to apply"}
	for line := range strings.Lines(out.String()) {
		if !slices.ContainsFunc(slow, func(s string) bool { return strings.Contains(line, s) }) {
			t.Errorf("logged: %s", line)
		}
	}
}
