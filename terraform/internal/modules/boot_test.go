//go:build realservers

package modules

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The configuration that is booted: one region, which serves a zone on port 53.
const bootConfig = `owner: shop
regions: [eu-west]
providers:
  here: {kind: authority, listen: ["127.0.0.1:53"], zones: [{name: example.org, file: example.org.zone}]}
monitors:
  dns: {kind: tcp, port: 53, interval: 500ms, timeout: 250ms}
services:
  - {name: app.example.org, monitor: dns, pools: [{region: eu-west, endpoints: [127.0.0.1]}]}
`

const bootZone = "$TTL 60\n@ SOA ns hostmaster 1 7200 900 1209600 60\n@ NS ns\nns A 127.0.0.1\n"

// The test's part on the host.
const bootDriver = `#!/bin/bash
. /srv/steps

name=user-data; check /user-data
name=active; wait_for systemctl is-active veer.service
name=answers; wait_for answers
name=enabled; check systemctl is-enabled veer.service veer-update.timer
name=timer; check bash -c 'systemctl list-timers --no-legend | grep veer-update.timer'
name=user; check bash -c "[ \"\$(stat -c %U /proc/$(pid))\" = veer ]"
# CAP_NET_BIND_SERVICE and CAP_NET_RAW, no more.
name=capabilities; check grep -q '^CapEff:.*0000000000002400$' /proc/$(pid)/status
name=confined; check grep -q '^Seccomp:.*2$' /proc/$(pid)/status
name=updated; wait_for bash -c '[ "$(systemctl is-active veer-update.service)" = inactive ]'

before=$(pid)
cp /srv/changed /srv/ssm/veer/shop/eu-west/config
name=changed-config; check systemctl start veer-update.service
name=changed-in-place; check grep -q '^# changed' /etc/veer/veer.yaml
name=restarted; check [ "$(pid)" != "$before" ]
name=answers-again; wait_for answers

before=$(pid)
cp /srv/invalid /srv/ssm/veer/shop/eu-west/config
name=invalid-config; check bash -c '! systemctl start veer-update.service'
name=invalid-not-in-place; check grep -q '^# changed' /etc/veer/veer.yaml
name=not-restarted; check [ "$(pid)" = "$before" ]
name=waits-for-its-time; check [ "$(systemctl is-active veer-update.service)" = failed ]
cp /srv/changed /srv/ssm/veer/shop/eu-west/config

sed -i s/PATIENCE=180/PATIENCE=2/ /etc/veer-update.conf
cp /srv/broken /srv/release
echo "$(sha256sum </srv/broken | cut -d' ' -f1) https://releases.example.org/veer" >/srv/ssm/veer/shop/eu-west/release
name=broken-release; check bash -c '! systemctl start veer-update.service'
name=went-back; check cmp /usr/bin/veer /srv/veer
name=answers-after-all; wait_for answers
`

// A host boots systemd, runs the start script, and Veer answers on it; then its
// config changes, badly and well. Only aws and curl are stubs.
func TestUserDataBoots(t *testing.T) {
	t.Parallel()
	root := tree(t)
	dir := filepath.Join(root, "boot")
	write(t, dir, map[string]string{
		"veer.yaml": bootConfig, "zone": bootZone,
		"main.tf": `
provider "aws" {}
module "region" {
  source     = "../modules/aws-region"
  region     = "eu-west"
  aws_region = "eu-west-1"
  subnet_id  = "subnet-0123456789abcdef0"
  config     = file("veer.yaml")
  files      = { "example.org.zone" = file("zone") }
  release    = { url = "https://releases.example.org/veer", sha256 = "` + strings.Repeat("0", 64) + `" }
  dns_cidrs  = ["0.0.0.0/0"]
}
output "user_data" { value = module.region.user_data }
`,
		"tests/boot.tftest.hcl": "mock_provider \"aws\" {}\nrun \"apply\" {}\n",
	})
	r := render(t, dir)

	b := newBox(t, t.TempDir())
	b.remove("usr/local/bin/systemctl")
	b.put("user-data", r.text(t, "user_data"))
	for name, parameter := range map[string]string{
		"config": "config", "host": "host", "files/example.org.zone": `file["example.org.zone"]`,
	} {
		value, _ := r.values["module.region.aws_ssm_parameter."+parameter]["value"].(string)
		b.put("srv/ssm/veer/shop/eu-west/"+name, value)
	}
	b.put("srv/release", b.read("srv/veer"))
	b.put("srv/ssm/veer/shop/eu-west/release", hashOf(b.read("srv/veer"))+" https://releases.example.org/veer")
	b.put("srv/changed", packed(t, bootConfig+"# changed\n"))
	b.put("srv/invalid", packed(t, "owner: shop\n# invalid\n"))
	b.put("srv/broken", "#!/bin/sh\n# It validates everything, and does not run.\n[ \"$1\" = validate ]\n")
	b.put("srv/driver", bootDriver)

	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../../.ci/boot", b.dir)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	// On SIGTERM nspawn turns the host off; killed, it would leave it running.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	failed := cmd.Run()
	out := b.read("srv/out")
	if strings.Contains(out, "FAILED") {
		t.Fatalf("on the host:\n%s", out)
	}
	if failed != nil || !strings.Contains(out, "answers-after-all") {
		t.Fatalf("the host did not end by itself: %v\n%s\n%s", failed, console.String(), out)
	}
	t.Logf("on the host:\n%s", out)
	if n, want := strings.Count(out, "ok "), strings.Count(bootDriver, "name="); n != want {
		t.Errorf("%d steps went well, expected %d:\n%s", n, want, out)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "up/var/lib/veer")); err != nil {
		t.Errorf("Veer left no data: %v", err)
	}
}
