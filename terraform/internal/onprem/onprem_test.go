//go:build realservers

package onprem

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the example steers, and its endpoints in the order of preference.
const name = "app.example.test"

var endpoints = []string{"192.0.2.10", "198.51.100.10", "203.0.113.10"}

// The example on-prem, as it is: from hosts without Veer to the first answer, a
// failover, an apply without a change, an upgrade, and back to hosts without Veer.
func TestOnpremOnHosts(t *testing.T) {
	began := time.Now()
	endpoint := backends(t)
	s := boot(t)
	t.Logf("three hosts booted in %s", since(began))
	tf := example(t, s)
	var servers []string
	for _, h := range s.hosts {
		servers = append(servers, net.JoinHostPort(h.address, "53"))
	}

	// From nothing to the first answer of each server.
	began = time.Now()
	first := make(chan string, 1)
	go func() { first <- settled(servers, endpoints[0], began) }()
	tf.must("apply", "-auto-approve")
	t.Logf("terraform apply took %s; the first answer came after %s", since(began), <-first)
	keyed(t, s, tf)

	c := start(name, servers, endpoints[0])
	defer c.close()

	// The endpoint of the first region dies.
	c.allow(endpoints[0], endpoints[1])
	began = time.Now()
	endpoint[0]()
	when := settled(servers, endpoints[1], began)
	c.allow(endpoints[1])
	judge(t, c, "the failover, from the end of the endpoint to the other region's answer "+when)

	// Nothing has changed, so nothing is done.
	was := pids(t, s)
	began = time.Now()
	if out := tf.must("apply", "-auto-approve"); !strings.Contains(out, "No changes.") || !strings.Contains(out, "0 added, 0 changed, 0 destroyed") {
		t.Errorf("a second apply changes something:\n%s", out)
	}
	if now := pids(t, s); !slices.Equal(was, now) {
		t.Errorf("a second apply restarted Veer: its processes were %v and are %v", was, now)
	}
	judge(t, c, "an apply without a change, "+since(began))

	// Another version, one region after the other.
	tf.upgrade()
	began = time.Now()
	out := tf.must("apply", "-auto-approve")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "well again") {
			t.Log(strings.TrimSpace(line))
		}
	}
	judge(t, c, "the rolling upgrade, "+since(began))
	now := pids(t, s)
	for i, h := range s.hosts {
		if was[i] == now[i] {
			t.Errorf("%s was not restarted", h.region)
		}
		if got := h.must(t, "dpkg-query -W veer"); !strings.Contains(got, higher) {
			t.Errorf("%s has %s, expected %s", h.region, got, higher)
		}
	}

	// Away, but for the data; and the count of lost queries sees it.
	began = time.Now()
	tf.must("destroy", "-auto-approve")
	t.Logf("terraform destroy took %s", since(began))
	for _, h := range s.hosts {
		h.must(t, `! ls -d /etc/veer /usr/bin/veer /var/lib/veer-deploy /etc/systemd/system/veer.service* 2>/dev/null && ls -d /var/lib/veer/etcd`)
		if got := h.must(t, `dpkg-query -W -f \${db:Status-Status} veer`); got != "config-files" {
			t.Errorf("on %s the package is %s, expected it removed and not purged, which would take the data", h.region, got)
		}
		if out, err := h.try("systemctl is-active veer"); err == nil {
			t.Errorf("on %s the unit is %s", h.region, out)
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(between) {
		if seen, _ := c.take(); seen.Lost > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("without a server no query is counted as lost")
		}
	}
}

// judge prints what the clients saw, which must be nothing but right answers.
func judge(t *testing.T, c *clients, during string) {
	t.Helper()
	seen, each := c.take()
	t.Logf("%s: %s", during, seen)
	for _, o := range each {
		t.Logf("  %s alone: %d of %d queries without an answer, at the longest %d ms between two answers", o.Server, o.Failed, o.Queries, o.Longest.Milliseconds())
	}
	if seen.bad() > 0 {
		t.Errorf("during %s:\n%s", during, strings.Join(seen.Faults, "\n"))
	}
	if seen.Queries == 0 {
		t.Errorf("during %s nobody asked", during)
	}
}

// settled waits until each server answers this address, and says when each did.
func settled(servers []string, address string, began time.Time) string {
	all := make([]string, len(servers))
	var waits sync.WaitGroup
	for i, server := range servers {
		waits.Go(func() { all[i] = fmt.Sprintf("%s (%s)", answers(server, address, began), server) })
	}
	waits.Wait()
	return strings.Join(all, ", ")
}

// answers is how long it took until the server answered this address.
func answers(server, address string, began time.Time) string {
	var got []string
	var err error
	for end := began.Add(patience); time.Now().Before(end); time.Sleep(watching) {
		got, err = ask("udp", server, name, time.Second)
		if err == nil && slices.Equal(got, []string{address}) {
			return since(began)
		}
	}
	return fmt.Sprintf("not within %s, at last %v, %v", patience, got, err)
}

func since(began time.Time) string {
	return fmt.Sprintf("%.1f s", time.Since(began).Seconds())
}

// pids are Veer's processes on the hosts, which all must run.
func pids(t *testing.T, s *site) []string {
	t.Helper()
	var all []string
	for _, h := range s.hosts {
		all = append(all, h.must(t, "systemctl is-active --quiet veer && systemctl show -P MainPID -P NRestarts veer"))
	}
	return all
}

// keyed holds that each host has the key of its own region, that only Veer reads
// it, and that Terraform's state has none.
func keyed(t *testing.T, s *site, tf *configuration) {
	t.Helper()
	state, err := os.ReadFile(filepath.Join(tf.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range s.hosts {
		key, err := os.ReadFile(filepath.Join(tf.certificates, h.region+".key"))
		if err != nil {
			t.Fatal(err)
		}
		if got := h.must(t, "cat /etc/veer/secrets/host.key"); got != strings.TrimSpace(string(key)) {
			t.Errorf("%s has another key than its own", h.region)
		}
		if got := h.must(t, "stat -c %U:%G:%a /etc/veer/secrets/host.key"); got != "root:veer:640" {
			t.Errorf("%s: owner and mode of the key are %s", h.region, got)
		}
		if body := strings.Split(string(key), "\n")[1]; bytes.Contains(state, []byte(body)) {
			t.Errorf("the key of %s is in Terraform's state", h.region)
		}
	}
}

// backends are toys in the place of what traffic is steered to, on this process's
// own addresses. Each is ended by its function.
func backends(t *testing.T) []func() {
	t.Helper()
	var end []func()
	for _, address := range endpoints {
		must(t, "ip", "addr", "add", address+"/32", "dev", "lo")
		l, err := net.Listen("tcp", net.JoinHostPort(address, "8080"))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(l)
		}()
		stop := func() {
			_ = server.Close()
			<-done
		}
		t.Cleanup(stop)
		end = append(end, stop)
	}
	return end
}

// configuration is the example in a folder of the test's own.
type configuration struct {
	t                 *testing.T
	dir, certificates string
}

func example(t *testing.T, s *site) *configuration {
	t.Helper()
	root := t.TempDir()
	must(t, "cp", "-rL", "../../modules", "../../examples", "../../files", root) // files has a link to outside
	tf := &configuration{t: t, dir: filepath.Join(root, "examples/on-prem"), certificates: filepath.Join(root, "ca")}
	must(t, "cp", os.Getenv("VEER_DEB"), filepath.Join(tf.dir, "veer.deb"))

	config := filepath.Join(tf.dir, "veer.yaml")
	must(t, os.Getenv("VEER"), "certs", "init", "--dir", tf.certificates, "-c", config)
	for _, h := range s.hosts {
		must(t, os.Getenv("VEER"), "certs", "issue", h.region, "--dir", tf.certificates, "-c", config)
	}

	variables, err := json.Marshal(map[string]any{
		"package": "veer.deb", "certificates": tf.certificates, "user": "deploy", "ssh_options": s.sshOptions(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tf.dir, "terraform.tfvars.json"), variables, 0o600); err != nil {
		t.Fatal(err)
	}
	tf.must("init")
	return tf
}

// must runs terraform.
func (tf *configuration) must(args ...string) string {
	tf.t.Helper()
	ctx, cancel := context.WithTimeout(tf.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, terraform(), append(args, "-input=false", "-no-color")...)
	cmd.Dir = tf.dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_CLI_CONFIG_FILE="+os.DevNull)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tf.t.Fatalf("terraform %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// upgraded is the script that makes of the package $1 the same of a higher version.
const upgraded = `
cd "$(mktemp -d)"
dpkg-deb --ctrl-tarfile "$1" >control.tar
tar -xf control.tar ./control
tar --delete -f control.tar ./control
sed -i 's/^Version: .*/Version: ` + higher + `/' control
tar --owner=0 --group=0 -rf control.tar ./control
gzip -n control.tar
ar r "$1" control.tar.gz
rm -rf "$PWD"
`

const higher = "1000.0.0"

// upgrade makes another version of the package: of the same binary, since there
// is no time to build two.
func (tf *configuration) upgrade() {
	tf.t.Helper()
	must(tf.t, "sh", "-euc", upgraded, "sh", filepath.Join(tf.dir, "veer.deb"))
}
