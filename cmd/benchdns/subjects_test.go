//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPrepare(t *testing.T) {
	for _, k := range kinds("veer", "coredns") {
		v := values{Dir: filepath.Join(t.TempDir(), k.name), Zone: zone, Name: steeredName, Steered: steeredAddress, Spare: spareAddress, Port: 21531, Backend: 21532}
		if err := prepare(k, v); err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		files, all := 0, ""
		err := filepath.WalkDir(v.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			files, all = files+1, all+string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if files < 2 || !strings.Contains(all, "21531") || !strings.Contains(all, "n999 AAAA 2001:db8::3e7\n") || strings.Contains(all, "<no value>") {
			t.Errorf("%s: %d files without port or zone", k.name, files)
		}
		if k.name != nameVeer && !strings.Contains(all, steeredName+" ") {
			t.Errorf("%s: its zone has no %s", k.name, steeredName)
		}
	}
}

func TestPaths(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	const line = `{"level":"info","part":"authority","provider":"here","fast":3034608,"general":7,"message":"queries over UDP that were answered"}` + "\n"
	for text, want := range map[string][2]uint64{
		`{"message":"stopping"}` + "\n" + line: {3034608, 7},
		line + line:                            {6069216, 14},
	} {
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if fast, general, err := paths(log); err != nil || [2]uint64{fast, general} != want {
			t.Errorf("%s: %d, %d, %v", text, fast, general, err)
		}
	}
	for _, text := range []string{"", `{"message":"stopping"}`, strings.ReplaceAll(line, "general", "other"), "no JSON: queries over UDP that were answered"} {
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if fast, general, err := paths(log); err == nil {
			t.Errorf("%q: taken for %d and %d", text, fast, general)
		}
	}
}

const dnsperfSays = `DNS Performance Testing Tool
Version 2.10.0

Statistics:

  Queries sent:         100000
  Queries completed:    100000 (100.00%)
  Queries lost:         0 (0.00%)

  Response codes:       NOERROR 90000 (90.00%), NXDOMAIN 10000 (10.00%)
  Average packet size:  request 35, response 53
  Run time (s):         1.000123
  Queries per second:   99987.701513

  Average Latency (s):  0.000512 (min 0.000023, max 0.006871)
`

func TestReadDNSPerf(t *testing.T) {
	if got, err := readDNSPerf(dnsperfSays); err != nil || got.perSecond != 99987.701513 || got.answered != 100000 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for what, change := range map[string][2]string{
		"lost":           {"lost:         0", "lost:         1"},
		"other codes":    {"NOERROR 90000 (90.00%)", "NOERROR 89000 (89.00%), SERVFAIL 1000 (1.00%)"},
		"no NXDOMAIN":    {", NXDOMAIN 10000 (10.00%)", ""},
		"NXDOMAIN only":  {"NOERROR 90000 (90.00%), NXDOMAIN 10000", "NOERROR 0 (0.00%), NXDOMAIN 100000"},
		"no rate":        {"Queries per second", "Something else"},
		"nothing at all": {dnsperfSays, ""},
	} {
		text := strings.Replace(dnsperfSays, change[0], change[1], 1)
		if text == dnsperfSays {
			t.Fatalf("%s changes nothing", what)
		}
		if got, err := readDNSPerf(text); err == nil {
			t.Errorf("%s: taken for %+v", what, got)
		}
	}
}

func TestAccount(t *testing.T) {
	a, err := newAccount(syscall.Getpgrp(), 0)
	if err != nil {
		t.Fatal(err)
	}
	own := false
	for _, p := range a.processes {
		own = own || p == "/proc/"+strconv.Itoa(os.Getpid())
	}
	if !own {
		t.Fatalf("this process is not among %v", a.processes)
	}
	if _, err := newAccount(1<<30, 0); err == nil {
		t.Error("a process group without processes was taken")
	}
	self := &account{processes: []string{"/proc/self"}}
	before, err := self.cpu()
	if err != nil {
		t.Fatal(err)
	}
	for after := before; after-before < 20*time.Millisecond; { // what this loop itself uses
		if after, err = self.cpu(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := self.memory(); err != nil || n < 1<<20 || n > 1<<33 {
		t.Errorf("%d bytes of memory, %v", n, err)
	}
	if _, err := (&account{processes: []string{"/proc/0"}}).cpu(); err == nil {
		t.Error("a process that is not there has CPU time")
	}
}

func TestNameAndGroup(t *testing.T) {
	if name, group, err := nameAndGroup("7216 (nsd: (s) 1) S 7209 7209 7100 0 -1"); name != "nsd: (s) 1" || group != 7209 || err != nil {
		t.Errorf("got %q, %d, %v", name, group, err)
	}
	for _, bad := range []string{"", "1 init S 0 1", "1 (init) S 0", "1 (init) S 0 x 1", ")("} {
		if name, group, err := nameAndGroup(bad); err == nil {
			t.Errorf("%q: taken for %q, %d", bad, name, group)
		}
	}
	if _, err := pss("Rss: 1 kB\n"); err == nil {
		t.Error("memory without a line Pss was taken")
	}
}

func TestParse(t *testing.T) {
	if _, err := parse(nil); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"x"}, {"--rounds", "0"}, {"--for", "1ms"}, {"--load", "1"}, {"--burst", "17"}, {"--burst", "9", "--window", "8"}, {"--window", "40000"}, {"--server-cpu", "1"}} {
		if o, err := parse(args); err == nil {
			t.Errorf("%v: taken for %+v", args, o)
		}
	}
}

// TestFirst: each thread runs first, or the system says why not and all is as it was.
func TestFirst(t *testing.T) {
	self := &account{processes: []string{"/proc/self"}}
	scheduled := func(want uint32) {
		t.Helper()
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil || len(tasks) < 2 {
			t.Fatalf("%d threads, %v", len(tasks), err)
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := unix.SchedGetAttr(id, 0); !errors.Is(err, unix.ESRCH) && (err != nil || got.Policy != want) {
				t.Errorf("thread %d: policy %+v, %v; want %d", id, got, err, want)
			}
		}
	}
	want, err := uint32(unix.SCHED_RR), self.first()
	if err != nil {
		if !errors.Is(err, unix.EPERM) {
			t.Fatal(err)
		}
		want = unix.SCHED_NORMAL
	}
	scheduled(want)
	if err := self.usual(); err != nil {
		t.Fatal(err)
	}
	scheduled(unix.SCHED_NORMAL)
	if err := (&account{processes: []string{"/proc/0"}}).first(); err == nil {
		t.Error("a process that is not there runs first")
	}
}
