//go:build realservers

package modules

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeSSH is an ssh that runs the command in the box of the address, and writes
// down which action of host.sh it was.
const fakeSSH = `#!/bin/bash
while [ "$1" != -- ]; do
	shift
done
address=$2
shift 2
case $* in
*"sh -s -- "*) action=${*##*sh -s -- } ;;
*) action=bring ;;
esac
"$BOXES/enter.sh" "$BOXES/$address" /bin/sh -c "$*"
code=$?
echo "$address $action $code" >>"$BOXES/log"
exit $code
`

var addresses = []string{"10.0.1.10", "10.1.1.10", "10.2.1.10"}

// site is three boxes, and a configuration that applies onprem to them.
type site struct {
	t     *testing.T
	dir   string // of the configuration
	boxes string
	box   map[string]*box
	env   []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	root := tree(t)
	s := &site{t: t, dir: filepath.Join(root, "site"), boxes: t.TempDir(), box: map[string]*box{}}
	for _, address := range addresses {
		s.box[address] = newBox(t, filepath.Join(s.boxes, address))
	}
	bin := filepath.Join(s.boxes, "bin")
	write(t, s.boxes, map[string]string{"enter.sh": enterScript, "bin/ssh": fakeSSH, "log": ""})
	for _, file := range []string{"enter.sh", "bin/ssh"} {
		if err := os.Chmod(filepath.Join(s.boxes, file), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.env = []string{"BOXES=" + s.boxes, "PATH=" + bin + ":" + os.Getenv("PATH")}

	write(t, s.dir, map[string]string{"main.tf": `
variable "secrets_version" { default = 1 }
variable "owner" { default = "shop" }
variable "hosts" { default = ["eu-west", "us-east", "ap-south"] }
locals {
  address = { eu-west = "10.0.1.10", us-east = "10.1.1.10", ap-south = "10.2.1.10" }
}
module "veer" {
  source = "../modules/onprem"

  config          = replace(file("veer.yaml"), "shop", var.owner)
  package         = "veer"
  files           = { "example.test.zone" = file("example.test.zone") }
  secret_files    = { token = "token" }
  secrets_version = var.secrets_version
  health_timeout  = 10
  hosts = {
    for region in var.hosts : region => {
      address   = local.address[region]
      ca_file   = "secrets/ca.pem"
      cert_file = "secrets/host.pem"
      key_file  = "secrets/host.key"
    }
  }
}
`})
	zone, err := os.ReadFile(filepath.Join(root, "examples/on-prem/example.test.zone"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, map[string]string{
		"example.test.zone": string(zone), "token": canary + "token", "veer": strings.Replace(veerStub, "VERSION", "version 1", 1),
		"veer.yaml": example(t, "on-prem").text(t, "config"),
	})
	// One certificate for all three: who may use it is not what is tested here.
	certificates(t, s.dir, "eu-west")
	key, err := os.ReadFile(filepath.Join(s.dir, "secrets/host.key"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, map[string]string{"secrets/host.key": string(key) + "# " + canary + "key\n"})
	must(t, s.dir, "init", "-input=false", "-no-color")
	return s
}

// terraform runs it, and returns its output and what was done on the hosts.
func (s *site) terraform(args ...string) (out string, done []string, err error) {
	s.t.Helper()
	out, err = run(s.t, s.dir, s.env, append(args, "-input=false", "-no-color")...)
	if found := leaks(out, canary); len(found) > 0 {
		s.t.Errorf("terraform %s prints a secret, %s:\n%s", strings.Join(args, " "), strings.Join(found, ", "), out)
	}
	log := filepath.Join(s.boxes, "log")
	text, failed := os.ReadFile(log)
	if failed == nil {
		failed = os.WriteFile(log, nil, 0o644)
	}
	if failed != nil {
		s.t.Fatal(failed)
	}
	return out, strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

func (s *site) apply(args ...string) []string {
	s.t.Helper()
	out, done, err := s.terraform(append([]string{"apply", "-auto-approve"}, args...)...)
	if err != nil {
		s.t.Fatalf("terraform apply: %v\n%s\n%s", err, out, strings.Join(done, "\n"))
	}
	return done
}

// of are the addresses on which the action was done, in that order.
func of(done []string, action string) []string {
	var at []string
	for _, line := range done {
		if address, rest, _ := strings.Cut(line, " "); strings.HasPrefix(rest, action+" ") {
			at = append(at, address)
		}
	}
	return at
}

// rolls says what is wrong with a roll: between two activations all hosts must
// have been found well.
func rolls(done []string) error {
	well := map[string]bool{}
	activated := ""
	for _, line := range done {
		var address, action string
		var code int
		if _, err := fmt.Sscanf(line, "%s %s %d", &address, &action, &code); err != nil {
			continue // bring
		}
		switch action {
		case "activate":
			if activated != "" && len(well) < len(addresses) {
				return fmt.Errorf("%s was activated after %s, when only %d hosts were found well", address, activated, len(well))
			}
			activated = address
			clear(well)
		case "well":
			if code == 0 {
				well[address] = true
			} else {
				delete(well, address)
			}
		}
	}
	if activated != "" && len(well) < len(addresses) {
		return fmt.Errorf("it ended after %s, when only %d hosts were found well", activated, len(well))
	}
	return nil
}

func TestOnpremOnBoxes(t *testing.T) {
	t.Parallel()
	s := newSite(t)

	// The first apply starts all of them before it waits for any.
	done := s.apply()
	if got := of(done, "activate"); !slices.Equal(got, addresses) {
		t.Errorf("the first apply activated %v, expected %v", got, addresses)
	}
	last, first := slices.Index(done, "10.2.1.10 activate 0"), slices.IndexFunc(done, func(l string) bool { return strings.Contains(l, " well ") })
	if last < 0 || first < last {
		t.Errorf("a host was waited for before all had started:\n%s", strings.Join(done, "\n"))
	}
	b := s.box["10.1.1.10"]
	for file, has := range map[string]string{
		"etc/veer/veer.env":                                "VEER_REGION=us-east\nVEER_ROLE=all\n",
		"etc/veer/host.yaml":                               "us-east",
		"etc/veer/secrets/token":                           canary + "token",
		"etc/veer/secrets/host.key":                        "PRIVATE KEY",
		"etc/veer/example.test.zone":                       "SOA",
		"etc/systemd/system/veer.service":                  "ProtectSystem=strict",
		"etc/systemd/system/veer.service.d/terraform.conf": "ExecStart=/usr/bin/veer run -c /etc/veer/veer.yaml --role ${VEER_ROLE}",
		"usr/bin/veer":                                     "version 1",
	} {
		if !strings.Contains(b.read(file), has) {
			t.Errorf("%s on the host does not have %q:\n%s", file, has, b.read(file))
		}
	}
	if got := strings.TrimSpace(b.must("stat", "-c", "%U:%G %a", "/etc/veer/secrets/host.key", "/usr/bin/veer")); got != "root:veer 640\nroot:root 755" {
		t.Errorf("owners and modes of key and binary are\n%s", got)
	}
	if out := b.must("systemd-analyze", "verify", "/etc/systemd/system/veer.service"); strings.Contains(out, "veer.service") {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}

	// No secret is in the state, and the search finds one.
	state, err := os.ReadFile(filepath.Join(s.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	if found := leaks(string(state), canary); len(found) > 0 {
		t.Errorf("a secret is in the state, %s", strings.Join(found, ", "))
	}
	if !bytes.Contains(state, []byte("10.1.1.10")) || len(leaks(string(state)+canary, canary)) == 0 {
		t.Error("the state that was searched is not the hosts', or the search finds nothing")
	}

	// Again: nothing.
	out, done, err := s.terraform("plan", "-detailed-exitcode")
	if err != nil || !strings.Contains(out, "No changes.") || done[0] != "" {
		t.Errorf("a plan after the apply: %v, %v\n%s", err, done, out)
	}

	// An upgrade, one after the other.
	pack := func(version string) {
		write(t, s.dir, map[string]string{"veer": strings.Replace(veerStub, "VERSION", "version "+version, 1)})
	}
	pack("2")
	done = s.apply()
	if got := of(done, "activate"); !slices.Equal(got, addresses) {
		t.Errorf("the upgrade activated %v, expected %v", got, addresses)
	}
	if err := rolls(done); err != nil {
		t.Errorf("the upgrade: %v\n%s", err, strings.Join(done, "\n"))
	}

	// A config that is not valid touches nothing.
	out, done, err = s.terraform("apply", "-auto-approve", "-var=owner=not a name")
	if err == nil || len(of(done, "activate")) > 0 || !strings.Contains(out, "what came is not valid") {
		t.Errorf("an invalid config: %v\n%s\n%s", err, strings.Join(done, "\n"), out)
	}

	// One that does not get well stops the roll before the next.
	pack("3 NEVER-WELL")
	out, done, err = s.terraform("apply", "-auto-approve")
	if err == nil || !slices.Equal(of(done, "activate"), addresses[:1]) || !strings.Contains(out, "stopped at eu-west") {
		t.Errorf("a binary that is never well: %v\n%s\n%s", err, strings.Join(done, "\n"), out)
	}
	if got := s.box["10.1.1.10"].read("usr/bin/veer"); !strings.Contains(got, "version 2") {
		t.Errorf("us-east was touched, though eu-west is not well:\n%s", got)
	}
	if rolls(done) == nil {
		t.Errorf("a roll that ended on a host that is not well passes for a good one:\n%s", strings.Join(done, "\n"))
	}

	// Nor is another touched while one is not well; force is the way out.
	pack("4")
	out, done, err = s.terraform("apply", "-auto-approve")
	if err == nil || len(of(done, "activate")) > 0 || !strings.Contains(out, "force = true") {
		t.Errorf("a roll while eu-west is not well: %v\n%s\n%s", err, strings.Join(done, "\n"), out)
	}
	main, err := os.ReadFile(filepath.Join(s.dir, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, map[string]string{"main.tf": strings.Replace(string(main), "health_timeout  = 10", "health_timeout  = 10\n  force = true", 1)})
	if done = s.apply(); !slices.Equal(of(done, "activate"), addresses) {
		t.Errorf("the cure activated %v, expected %v", of(done, "activate"), addresses)
	}

	// A renewed key comes when secrets_version is raised, and not before.
	write(t, s.dir, map[string]string{"token": canary + "renewed"})
	if done = s.apply(); done[0] != "" {
		t.Errorf("Terraform saw that a secret changed:\n%s", strings.Join(done, "\n"))
	}
	s.apply("-var=secrets_version=2")
	if !strings.Contains(b.read("etc/veer/secrets/token"), "renewed") {
		t.Error("the renewed secret did not come to the host")
	}

	// Gone, but for the data.
	b.must("mkdir", "-p", "/var/lib/veer/etcd")
	out, done, err = s.terraform("destroy", "-auto-approve", "-var=secrets_version=2")
	if err != nil || len(of(done, "remove")) != 3 {
		t.Fatalf("terraform destroy: %v\n%s\n%s", err, strings.Join(done, "\n"), out)
	}
	b.must("sh", "-c", "! ls /etc/veer /usr/bin/veer /etc/systemd/system/veer.service /var/lib/veer-deploy 2>/dev/null && ls -d /var/lib/veer/etcd")
	if calls := b.calls(); !strings.Contains(calls, "disable --now --quiet veer.service") {
		t.Errorf("the unit was not stopped:\n%s", calls)
	}
}

// A roll that does not wait is found.
func TestPlantedRollWithoutWaiting(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.apply()
	file := filepath.Join(s.dir, "../modules/onprem/files/roll.sh")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	waits := `	wait_all || { say "stopped at $region; the regions after it run on as they were"; exit 1; }` + "\n"
	if !strings.Contains(string(text), waits) {
		t.Fatalf("roll.sh does not wait by %s", waits)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), waits, "", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, map[string]string{"veer": strings.Replace(veerStub, "VERSION", "version 2", 1)})
	if done := s.apply(); rolls(done) == nil {
		t.Errorf("a roll that waits for nobody passes for a good one:\n%s", strings.Join(done, "\n"))
	}
}

// deb builds a package of the stub, as a version.
func (s *site) deb(version string) {
	s.t.Helper()
	dir := s.t.TempDir()
	write(s.t, dir, map[string]string{
		"DEBIAN/control": "Package: veer\nVersion: " + version + "\nArchitecture: all\nMaintainer: test <test@example.org>\nDescription: a stub\n",
		"usr/bin/veer":   strings.Replace(veerStub, "VERSION", "version "+version, 1),
	})
	for path, mode := range map[string]os.FileMode{".": 0o755, "DEBIAN": 0o755, "usr": 0o755, "usr/bin": 0o755, "usr/bin/veer": 0o755} {
		if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
			s.t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(s.t.Context(), "dpkg-deb", "--root-owner-group", "--build", dir, filepath.Join(s.dir, "veer.deb")).CombinedOutput(); err != nil {
		s.t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
}

// With a package, dpkg brings the binary, up and down, and takes it away.
func TestOnpremWithADeb(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	main, err := os.ReadFile(filepath.Join(s.dir, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, map[string]string{"main.tf": strings.Replace(string(main), `package         = "veer"`, `package         = "veer.deb"`, 1)})
	for _, version := range []string{"1.0", "2.0", "1.0"} {
		s.deb(version)
		done := s.apply()
		if got := of(done, "activate"); !slices.Equal(got, addresses) {
			t.Errorf("%s activated %v, expected %v", version, got, addresses)
		}
		for _, address := range addresses {
			if got := strings.TrimSpace(s.box[address].must("dpkg-query", "-W", "-f", "${Version} ${Status}", "veer")); got != version+" install ok installed" {
				t.Errorf("%s has %s, expected %s", address, got, version)
			}
		}
	}
	if out, done, err := s.terraform("destroy", "-auto-approve"); err != nil || len(of(done, "remove")) != 3 {
		t.Fatalf("terraform destroy: %v\n%s\n%s", err, strings.Join(done, "\n"), out)
	}
	s.box[addresses[0]].must("sh", "-c", "! dpkg-query -W veer && ! ls /usr/bin/veer")
}
