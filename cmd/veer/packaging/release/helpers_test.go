package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// made is where the tests' binaries are, by version.
var made struct {
	sync.Mutex
	dir string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "veer-release-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	made.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir) // a temporary folder
	os.Exit(code)
}

// commitTime is when the tests' commit was made.
var commitTime = time.Unix(1_700_000_000, 0).UTC()

// repository is the root of the checkout.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// of returns the options of a release for this machine's system.
func of(t *testing.T, version string) options {
	t.Helper()
	return options{
		root: repository(t), out: t.TempDir(), goTool: "go", version: version, date: commitTime,
		ldflags: "-s -w -X main.version=" + version, targets: []target{host}, kinds: allKinds,
	}
}

// prepared is a folder with what packages of the version hold, made once.
func prepared(t *testing.T, version string) string {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	dir := filepath.Join(made.dir, version)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := prepare(t.Context(), of(t, version), host, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}
