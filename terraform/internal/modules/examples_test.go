package modules

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// made by an example, as its last run tells.
type rendered struct {
	outputs map[string]any
	// values of each resource by its address.
	values map[string]map[string]any
	raw    string
	passed int // runs of its tests
}

func (r rendered) text(t *testing.T, output string) string {
	t.Helper()
	s, ok := r.outputs[output].(string)
	if !ok {
		t.Fatalf("output %s is %v, expected text", output, r.outputs[output])
	}
	return s
}

type stateModule struct {
	Resources []struct {
		Address string
		Values  map[string]any
	}
	ChildModules []stateModule `json:"child_modules"`
}

func (m stateModule) into(values map[string]map[string]any) {
	for _, r := range m.Resources {
		values[r.Address] = r.Values
	}
	for _, child := range m.ChildModules {
		child.into(values)
	}
}

// render runs a folder's tests and takes what they made.
func render(t *testing.T, dir string) rendered {
	t.Helper()
	must(t, dir, "init", "-input=false", "-no-color")
	out := must(t, dir, "test", "-json", "-verbose")
	r := rendered{outputs: map[string]any{}, values: map[string]map[string]any{}, raw: out}
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Plan *struct {
				OutputChanges map[string]struct{ After any } `json:"output_changes"`
			} `json:"test_plan"`
			State *struct {
				Outputs map[string]struct{ Value any } `json:"outputs"`
				Root    stateModule                    `json:"root_module"`
			} `json:"test_state"`
			Summary struct{ Passed int } `json:"test_summary"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("terraform test -json: %v: %s", err, lines.Bytes())
		}
		r.passed += line.Summary.Passed
		if line.Plan != nil {
			for name, o := range line.Plan.OutputChanges {
				r.outputs[name] = o.After
			}
		}
		if line.State != nil {
			for name, o := range line.State.Outputs {
				r.outputs[name] = o.Value
			}
			line.State.Root.into(r.values)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return r
}

// examples are those that were rendered already, as they are in the repository.
type examples struct {
	mu   sync.Mutex
	made map[string]*sync.Once
	got  map[string]rendered
}

// example validates and renders one of them, once for all tests.
func example(t *testing.T, name string) rendered {
	t.Helper()
	e := &made.examples
	e.mu.Lock()
	if e.made == nil {
		e.made, e.got = map[string]*sync.Once{}, map[string]rendered{}
	}
	once := e.made[name]
	if once == nil {
		once = &sync.Once{}
		e.made[name] = once
	}
	e.mu.Unlock()
	once.Do(func() {
		dir := filepath.Join(tree(t), "examples", name)
		r := render(t, dir)
		must(t, dir, "validate", "-no-color")
		e.mu.Lock()
		defer e.mu.Unlock()
		e.got[name] = r
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	r, ok := e.got[name]
	if !ok {
		t.Fatalf("example %s could not be rendered; the test that tried first says why", name)
	}
	return r
}

// write puts files into a folder of the test's own.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func veer(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), made.veer, args...)
	cmd.Dir = dir
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	failed := cmd.Run()
	return out.String() + err.String(), failed
}

// certificates makes a CA and a host's certificate of it, as a user would.
func certificates(t *testing.T, dir, region string) {
	t.Helper()
	secrets := filepath.Join(dir, "secrets")
	if err := os.MkdirAll(secrets, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"certs", "init", "--dir", secrets}, {"certs", "issue", region, "--dir", secrets}} {
		if out, err := veer(t, dir, append(args, "-c", "veer.yaml")...); err != nil {
			t.Fatalf("veer %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, ext := range []string{".pem", ".key"} {
		if err := os.Rename(filepath.Join(secrets, region+ext), filepath.Join(secrets, "host"+ext)); err != nil {
			t.Fatal(err)
		}
	}
}

// onHost lays out /etc/veer of a host of the example, as its modules do.
func onHost(t *testing.T, r rendered, region string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"veer.yaml": r.text(t, "config")}
	if zone, ok := r.outputs["zone_file"].(string); ok {
		name := "example.org.zone"
		if strings.Contains(files["veer.yaml"], "example.test.zone") {
			name = "example.test.zone"
		}
		files[name] = zone
	}
	if strings.Contains(files["veer.yaml"], "secrets/cloudflare") {
		files["secrets/cloudflare"] = "token\n"
	}
	// As the modules write it; of aws-region it is in the state.
	host := "region: " + region + "\ntls: {ca_file: secrets/ca.pem, cert_file: secrets/host.pem, key_file: secrets/host.key}\n"
	if v, ok := r.values[`module.region["`+region+`"].aws_ssm_parameter.host`]["value"].(string); ok {
		host = v
	}
	write(t, dir, files)
	certificates(t, dir, region)
	write(t, dir, map[string]string{"host.yaml": host})
	return dir
}

func TestExamplesAreValidConfigs(t *testing.T) {
	for name, region := range map[string]string{
		"two-regions-witness": "us-east", "three-regions": "ap-south", "on-prem": "eu-west", "scheduled": "eu-west",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := onHost(t, example(t, name), region)
			out, err := veer(t, dir, "validate", "-c", "veer.yaml")
			if err != nil {
				t.Fatalf("veer validate: %v\n%s", err, out)
			}
			for _, bad := range []string{"DOES NOT", "WARNINGS"} {
				if strings.Contains(out, bad) {
					t.Errorf("veer validate of an example says %s:\n%s", bad, out)
				}
			}
			// That it is the file which is checked: with a word misspelt it is refused.
			text, err := os.ReadFile(filepath.Join(dir, "veer.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if err := fitsSchema(t, "", string(text)); err != nil {
				t.Errorf("veer.yaml does not fit the schema: %v", err)
			}
			host, err := os.ReadFile(filepath.Join(dir, "host.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if err := fitsSchema(t, "#/$defs/host", string(host)); err != nil {
				t.Errorf("host.yaml does not fit the schema: %v", err)
			}
			misspelt := strings.Replace(string(text), "monitors:", "monitor:", 1)
			if fitsSchema(t, "", misspelt) == nil {
				t.Error("the schema took a misspelt key")
			}
			write(t, dir, map[string]string{"veer.yaml": misspelt})
			if out, err := veer(t, dir, "validate", "-c", "veer.yaml"); err == nil {
				t.Errorf("veer validate took a misspelt key:\n%s", out)
			}
		})
	}
}

// What a page of an example says makes the certificates that its hosts need.
func TestExamplesPagesMakeCertificates(t *testing.T) {
	t.Parallel()
	fence := regexp.MustCompile("(?ms)^ *```(yaml|sh)\n(.*?)^ *```$")
	bin := t.TempDir()
	if err := os.Symlink(made.veer, filepath.Join(bin, "veer")); err != nil {
		t.Fatal(err)
	}
	for name, region := range map[string]string{"two-regions-witness": "witness", "three-regions": "ap-south", "on-prem": "us-east"} {
		dir := filepath.Join(tree(t), "examples", name)
		page, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatch(string(page), -1) {
			if m[1] == "yaml" {
				write(t, dir, map[string]string{"certs.yaml": m[2]})
				continue
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-euc", m[2])
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
		}
		host := onHost(t, example(t, name), region)
		for from, to := range map[string]string{"ca.pem": "ca.pem", region + ".pem": "host.pem", region + ".key": "host.key"} {
			if err := os.Rename(filepath.Join(dir, "ca", from), filepath.Join(host, "secrets", to)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if out, err := veer(t, host, "certs", "show", "-c", "veer.yaml"); err != nil {
			t.Errorf("%s: the certificates do not fit its veer.yaml: %v\n%s", name, err, out)
		}
	}
}

// encodings are the ways in which the standard library writes a secret, alone and
// within something else.
func encodings(secret string) map[string]string {
	out := map[string]string{
		"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"URL": url.QueryEscape(secret), "JSON": fmt.Sprintf("%q", secret),
	}
	for name, enc := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64 for URLs": base64.URLEncoding} {
		for _, before := range []string{"", "x", "xy"} {
			out[name+" after "+before] = enc.EncodeToString([]byte(before + secret + "z"))
		}
	}
	return out
}

// leaks are the ways in which a secret, or half of it, is found in a text.
func leaks(text, secret string) []string {
	var found []string
	for _, half := range []string{secret[:len(secret)/2], secret[len(secret)/2:]} {
		for how, s := range encodings(half) {
			switch before := how[strings.LastIndexByte(how, ' ')+1:]; {
			case strings.HasPrefix(how, "base64"): // the letters that hold bits of nothing else
				s = s[(8*len(before)+5)/6 : 8*(len(before)+len(half))/6]
			case how == "JSON":
				s = strings.Trim(s, `"`)
			}
			if strings.Contains(text, s) && !slices.Contains(found, how) {
				found = append(found, how)
			}
		}
	}
	return found
}

// mark stands in the files of the tests where a secret begins. tree puts the
// canary in its place, which is another in each run.
const mark = "CANARY-"

var canary = rand.Text() + "/+" + rand.Text() + "-"

// Plans and states of the examples hold no secret, though every secret goes
// through them.
func TestNoSecretIsInPlanOrState(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"two-regions-witness", "three-regions", "scheduled"} {
		r := example(t, name)
		if found := leaks(r.raw, canary); len(found) > 0 {
			t.Errorf("%s: a secret is in plan or state, %s", name, strings.Join(found, ", "))
		}
		if len(r.values) == 0 {
			t.Errorf("%s: no resource was looked at", name)
		}
	}
	root := tree(t)
	// Planted: a secret that is an argument like any other.
	dir := filepath.Join(root, "modules", "aws-region")
	for file, change := range map[string][2]string{
		"variables.tf": {"  ephemeral   = true\n", ""},
		"main.tf":      {"  value_wo         = var.secrets[each.key]\n  value_wo_version = var.secrets_version\n", "  value            = var.secrets[each.key]\n"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), change[0]) {
			t.Fatalf("%s has no %q", file, change[0])
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.Replace(string(text), change[0], change[1], 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := render(t, filepath.Join(root, "examples", "two-regions-witness"))
	if len(leaks(r.raw, canary)) == 0 {
		t.Error("a secret that was planted in the state was not found")
	}
	// Ephemeral alone does not do it: Terraform refuses it in a plain argument.
	if !strings.Contains(r.raw, canary) {
		t.Error("the canary of this run is nowhere")
	}
	for how, text := range encodings(canary) {
		if len(leaks("..."+text+"...", canary)) == 0 {
			t.Errorf("a secret that is written as %s is not found", how)
		}
	}
	if found := leaks("..."+rand.Text()+mark+"...", canary); len(found) > 0 {
		t.Errorf("what is no secret is taken for one, as %v", found)
	}
}
