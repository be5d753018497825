//go:build realservers

package modules

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// release puts a veer on the server, and its hash into SSM.
func (b *box) release(text string) {
	b.put("srv/release", text)
	b.put("srv/ssm/veer/shop/us-east/release", hashOf(text)+" https://releases.example.org/veer")
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// The start script of the example's us-east runs in a box, then veer-update with
// what the example put into SSM, and through everything that may change there.
func TestUserDataOfAHost(t *testing.T) {
	t.Parallel()
	r := example(t, "two-regions-witness")
	scripts, ok := r.outputs["user_data"].(map[string]any)
	if !ok {
		t.Fatalf("output user_data is %v", r.outputs["user_data"])
	}
	script := scripts["us-east"].(string)
	if n := len(script); n > 16<<10 {
		t.Fatalf("the start script has %d bytes, EC2 takes 16384", n)
	}
	b := newBox(t, t.TempDir())
	config, _ := r.values[`module.region["us-east"].aws_ssm_parameter.config`]["value"].(string)
	host, _ := r.values[`module.region["us-east"].aws_ssm_parameter.host`]["value"].(string)
	b.put("srv/ssm/veer/shop/us-east/config", config)
	b.put("srv/ssm/veer/shop/us-east/host", host)
	one := strings.Replace(veerStub, "VERSION", "version 1", 1)
	b.release(one)
	etc := onHost(t, r, "us-east")
	for _, name := range []string{"ca.pem", "host.pem", "host.key"} {
		text, err := os.ReadFile(filepath.Join(etc, "secrets", name))
		if err != nil {
			t.Fatal(err)
		}
		b.put("srv/ssm/veer/shop/us-east/secrets/"+name, strings.TrimSpace(string(text)))
	}

	b.put("user-data", script)
	b.must("bash", "-n", "/user-data")
	b.must("/user-data")
	if got, want := b.calls(), "systemctl daemon-reload\nsystemctl enable veer.service\nsystemctl enable --now veer-update.timer\nsystemctl start --no-block veer-update.service\n"; got != want {
		t.Errorf("the start script asked\n%sexpected\n%s", got, want)
	}
	b.must("/user-data") // a second time changes nothing
	b.must("bash", "-c", "systemd-analyze calendar \"$(sed -n 's/OnCalendar=//p' /etc/systemd/system/veer-update.timer)\"")
	b.must("systemd-analyze", "verify", "/etc/systemd/system/veer-update.service", "/etc/systemd/system/veer-update.timer")
	b.put("etc/veer-update.conf", strings.Replace(b.read("etc/veer-update.conf"), "PATIENCE=180", "PATIENCE=3", 1))
	b.calls()

	// step runs veer-update and looks at what it did.
	type want struct {
		fails   bool
		systemd string // calls but is-active
		says    string
		file    string // of the box, and what it has then
		has     string
	}
	step := func(name string, w want, args ...string) {
		t.Helper()
		out, err := b.run(nil, append([]string{"/usr/local/sbin/veer-update"}, args...)...)
		if (err != nil) != w.fails {
			t.Errorf("%s: veer-update: %v\n%s", name, err, out)
		}
		var asked []string
		for line := range strings.Lines(b.calls()) {
			if strings.HasPrefix(line, "systemctl ") && !strings.Contains(line, "is-active") {
				asked = append(asked, strings.TrimSpace(strings.TrimPrefix(line, "systemctl ")))
			}
		}
		if got := strings.Join(asked, ", "); got != w.systemd {
			t.Errorf("%s: veer-update asked systemctl for %q, expected %q\n%s", name, got, w.systemd, out)
		}
		if !strings.Contains(out, w.says) {
			t.Errorf("%s: veer-update did not say %q:\n%s", name, w.says, out)
		}
		if w.file != "" && !strings.Contains(b.read(w.file), w.has) {
			t.Errorf("%s: %s does not have %q:\n%s", name, w.file, w.has, b.read(w.file))
		}
	}
	const restart = "restart veer.service"
	step("first start", want{systemd: restart, says: "started", file: "etc/veer/host.yaml", has: "us-east"})
	if got := strings.TrimSpace(b.must("stat", "-c", "%U:%G %a", "/etc/veer/secrets/host.key", "/etc/veer/veer.yaml", "/usr/bin/veer")); got != "root:veer 640\nroot:veer 640\nroot:root 755" {
		t.Errorf("owners and modes of key, config and binary are\n%s", got)
	}
	step("nothing changed", want{})

	yaml := r.text(t, "config")
	changed := yaml + "# changed\n"
	b.put("srv/ssm/veer/shop/us-east/config", packed(t, changed))
	step("a changed config", want{systemd: restart, says: "well again", file: "etc/veer/veer.yaml", has: "# changed"})

	b.put("srv/ssm/veer/shop/us-east/config", packed(t, "owner: shop\n# invalid\n"))
	step("an invalid config", want{fails: true, says: "not valid", file: "etc/veer/veer.yaml", has: "# changed"})
	b.put("srv/ssm/veer/shop/us-east/config", packed(t, changed))

	two := strings.Replace(veerStub, "VERSION", "version 2", 1)
	b.release(two)
	b.put("srv/release", two+"# not what was hashed\n")
	step("a release that is another one", want{fails: true, says: "does not have the SHA-256", file: "usr/bin/veer", has: "version 1"})

	b.release(two)
	b.put("srv/stub/members-unwell", "")
	step("another member is not well", want{fails: true, says: "could cost the quorum", file: "usr/bin/veer", has: "version 1"})
	b.remove("srv/stub/members-unwell")
	step("a new release", want{systemd: restart, says: "well again", file: "usr/bin/veer", has: "version 2"})

	b.release(strings.Replace(veerStub, "VERSION", "version 3 NEVER-WELL", 1))
	step("a release that does not get well", want{fails: true, systemd: restart + ", " + restart, says: "going back", file: "usr/bin/veer", has: "version 2"})
	step("the same release again", want{fails: true, says: "did not get well", file: "usr/bin/veer", has: "version 2"})
	b.release(two)
	step("back at it", want{})

	b.put("srv/ssm/veer/shop/us-east/secrets/host.pem", strings.TrimSpace(b.read("etc/veer/secrets/host.pem"))+"\n# renewed")
	step("a renewed certificate", want{says: "restart: no", file: "etc/veer/secrets/host.pem", has: "# renewed"})

	b.put("srv/ssm/veer/shop/us-east/files/example.org.zone", packed(t, "; a zone\n"))
	step("another file", want{systemd: "reload veer.service", file: "etc/veer/example.org.zone", has: "; a zone"})

	b.put("srv/ssm/veer/shop/us-east/secrets/token", "a new secret")
	b.put("srv/stub/members-unwell", "")
	step("a secret, while another member is not well", want{fails: true, says: "could cost the quorum"})
	step("the same, forced", want{fails: true, systemd: restart + ", " + restart, says: "going back"}, "--force")
	b.remove("srv/stub/members-unwell")
	step("the secret, forced once more", want{systemd: restart, says: "well again", file: "etc/veer/secrets/token", has: "a new secret"}, "--force")

	b.remove("srv/ssm/veer/shop/us-east/files/example.org.zone")
	step("a file that is gone", want{systemd: "reload veer.service"})
	if b.read("etc/veer/example.org.zone") != "" || b.read("etc/veer/veer.env") == "" {
		t.Error("the file that is gone from SSM is still there, or veer.env is not")
	}

	b.remove("srv/ssm/veer/shop/us-east/config")
	step("SSM refuses", want{fails: true, says: "ParameterNotFound", file: "etc/veer/veer.yaml", has: "# changed"})
	if got := b.must("sh", "-c", "ls /etc/veer /etc/veer/secrets | grep new || true"); got != "" {
		t.Errorf("half-written files were left: %s", got)
	}
}

// What the init container of a scheduled pass writes is what a pass can use.
func TestInitOfAPass(t *testing.T) {
	t.Parallel()
	r := example(t, "scheduled")
	b := newBox(t, t.TempDir())
	etc := onHost(t, r, "eu-west")
	env := []string{
		"VEER_YAML=" + fmt.Sprint(r.values[`module.passes["eu-west"].aws_ssm_parameter.config`]["value"]),
		"HOST_YAML=region: eu-west\ntls: {ca_file: secrets/ca.pem, cert_file: secrets/host.pem, key_file: secrets/host.key}\n",
	}
	// In the order of the names, as the module numbers them.
	for i, name := range []string{"ca.pem", "host.key", "host.pem"} {
		text, err := os.ReadFile(filepath.Join(etc, "secrets", name))
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, fmt.Sprintf("SECRET_%d=%s", i, text))
	}
	b.must("mkdir", "-p", "/var/lib/veer")
	if out, err := b.run(env, "sh", "-c", r.text(t, "init_script")); err != nil {
		t.Fatalf("the init container's script: %v\n%s", err, out)
	}
	if got := strings.TrimSpace(b.must("stat", "-c", "%u %a", "/etc/veer/secrets/host.key")); got != "65534 600" {
		t.Errorf("owner and mode of the key are %s, expected 65534 600", got)
	}
	out, err := b.run([]string{"VEER_REGION=eu-west", "VEER_DATA_DIR=/var/lib/veer"}, "/srv/veer", "validate", "-c", "/etc/veer/veer.yaml")
	if err != nil || strings.Contains(out, "WARNINGS") {
		t.Errorf("veer validate of what was written: %v\n%s", err, out)
	}
	// Without a secret the pass must not begin.
	if out, err := b.run(env[:4], "sh", "-c", r.text(t, "init_script")); err == nil {
		t.Errorf("the script took a missing secret:\n%s", out)
	}
}

// Every script is one that its shell can read.
func TestScriptsParse(t *testing.T) {
	for _, pattern := range []string{"modules/*/*.sh", "modules/*/files/*.sh"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %d scripts", pattern, err, len(found))
		}
		for _, file := range found {
			shell := "bash"
			if strings.HasSuffix(file, "host.sh") {
				shell = "sh"
			}
			if out, err := exec.CommandContext(t.Context(), shell, "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s -n %s: %v\n%s", shell, file, err, out)
			}
		}
	}
}
