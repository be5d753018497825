//go:build realservers

package main

import (
	"bytes"
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed testdata/driver.sh
var driver string

// The configuration of the host: one region, which serves a zone on port 53, and
// whose check needs a raw socket.
const hostConfig = `owner: shop
regions: [eu-west]
host: {region: eu-west}
providers:
  here: {kind: authority, listen: ["127.0.0.1:53"], zones: [{name: example.org, file: example.org.zone}]}
monitors:
  ping: {kind: icmp, privileged: raw, interval: 500ms, timeout: 250ms}
services:
  - {name: app.example.org, monitor: ping, pools: [{region: eu-west, endpoints: [127.0.0.1]}]}
`

const hostZone = "$TTL 60\n@ SOA ns hostmaster 1 7200 900 1209600 60\n@ NS ns\nns A 127.0.0.1\n"

// TestPackagesOnAHost: a host boots systemd; the packages are installed, run,
// upgraded, removed and purged on it, with good configurations and bad ones.
func TestPackagesOnAHost(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test makes mounts and boots a host: run it as root")
	}
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, "up", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put("srv/veer.yaml", hostConfig)
	put("srv/example.org.zone", hostZone)
	put("srv/driver", driver)
	for name, version := range map[string]string{"old": "v1.0.0-rc.1", "new": "v1.0.0"} {
		o := changedRoot(t, version, name == "new")
		o.out = t.TempDir()
		for _, format := range []string{"deb", "rpm"} {
			file, err := pack(o, host, format, prepared(t, version))
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(o.out, file))
			if err != nil {
				t.Fatal(err)
			}
			put("srv/"+name+"."+format, string(data))
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(repository(t), ".ci/boot"), dir)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	// On SIGTERM nspawn turns the host off; killed, it would leave it running.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	failed := cmd.Run()
	text, err := os.ReadFile(filepath.Join(dir, "up/srv/out"))
	if err != nil {
		t.Fatalf("the host's test left nothing: %v\n%v\n%s", err, failed, console.String())
	}
	out := string(text)
	t.Logf("on the host:\n%s", out)
	if strings.Contains(out, "FAILED") {
		t.Fatal("a step failed on the host")
	}
	if failed != nil || !strings.Contains(out, "\nthe end\n") {
		t.Fatalf("the host did not end by itself: %v\n%s", failed, console.String())
	}
	if n, want := strings.Count(out, "ok "), strings.Count(driver, "\nname="); n != want {
		t.Errorf("%d steps went well, expected %d", n, want)
	}
}

// changedRoot is a release of the version. With changed, its conffile is
// another than the former version's, which makes dpkg and rpm choose.
func changedRoot(t *testing.T, version string, changed bool) options {
	t.Helper()
	o := options{root: t.TempDir(), version: version, date: commitTime}
	if err := os.CopyFS(filepath.Join(o.root, "cmd/veer/packaging"), os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		if err := os.Symlink(filepath.Join(repository(t), file), filepath.Join(o.root, file)); err != nil {
			t.Fatal(err)
		}
	}
	if changed {
		f, err := os.OpenFile(filepath.Join(o.root, "cmd/veer/packaging/veer.env"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("\n# of the new version\n"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return o
}
