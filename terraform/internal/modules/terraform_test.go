// Package modules tests Veer's Terraform modules and examples with the real
// terraform command, on providers that are served by their schemas alone.
//
// It needs terraform in PATH (or in TERRAFORM) and veer's binary in VEER; `make
// test-terraform` gives both, and says what is missing.
package modules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/terraform/internal/schemas"
)

// top is the folder terraform/ of the repository, from here.
const top = "../.."

// tools is what TestMain made for all tests.
type tools struct {
	terraform, veer string
	rc              string // the CLI configuration, with the mirror in it
	examples        examples
}

var made tools

func TestMain(m *testing.M) {
	code, err := func() (int, error) {
		dir, err := os.MkdirTemp("", "veer-terraform-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		if err := prepare(dir); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests of terraform/ cannot run:", err)
	}
	os.Exit(code)
}

// prepare builds the stand-in and lays it out as a mirror of providers.
func prepare(dir string) error {
	var err error
	if made.terraform, err = exec.LookPath(envOr("TERRAFORM", "terraform")); err != nil {
		return fmt.Errorf("no terraform command: put version 1.11 or newer into PATH, or its path into TERRAFORM: %w", err)
	}
	if made.veer, err = filepath.Abs(os.Getenv("VEER")); err != nil || os.Getenv("VEER") == "" {
		return errors.New("VEER is not set: it is the path of veer's binary; make test-terraform builds it")
	}
	if _, err := os.Stat(made.veer); err != nil {
		return fmt.Errorf("VEER: %w", err)
	}
	binary := filepath.Join(dir, "standin")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", binary, "../standin").CombinedOutput(); err != nil {
		return fmt.Errorf("build the stand-in: %w\n%s", err, out)
	}
	host, err := defaultHost(dir)
	if err != nil {
		return err
	}
	mirror := filepath.Join(dir, "mirror")
	for _, name := range schemas.Names() {
		p, err := schemas.Load(name)
		if err != nil {
			return err
		}
		at := filepath.Join(mirror, host, p.Source.Address, p.Source.Version, runtime.GOOS+"_"+runtime.GOARCH)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := os.Link(binary, filepath.Join(at, "terraform-provider-"+name+"_v"+p.Source.Version)); err != nil {
			return err
		}
	}
	made.rc = filepath.Join(dir, "terraformrc")
	return os.WriteFile(made.rc, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror), 0o644)
}

// defaultHost is the registry that terraform completes hashicorp/aws with; a
// mirror's folders start with it.
func defaultHost(dir string) (string, error) {
	alone := filepath.Join(dir, "host")
	if err := os.Mkdir(alone, 0o755); err != nil {
		return "", err
	}
	text := "terraform {\n  required_providers {\n    aws = { source = \"hashicorp/aws\" }\n  }\n}\n"
	if err := os.WriteFile(filepath.Join(alone, "main.tf"), []byte(text), 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command(made.terraform, "-chdir="+alone, "providers", "-no-color")
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+os.DevNull)
	out, err := cmd.CombinedOutput()
	m := regexp.MustCompile(`provider\[([^/\]]+)/hashicorp/aws\]`).FindSubmatch(out)
	if err != nil || m == nil {
		return "", fmt.Errorf("terraform providers does not tell its registry (%v):\n%s", err, out)
	}
	return string(m[1]), nil
}

func envOr(name, other string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return other
}

// tree copies terraform/modules, examples and files into a folder of the test's
// own, so that nothing is written into the repository, with this run's canary.
func tree(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	for _, folder := range []string{"modules", "examples", "files"} {
		err := filepath.WalkDir(filepath.Join(top, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == ".terraform" {
				return fs.SkipDir
			}
			rel, err := filepath.Rel(top, path)
			if err != nil {
				return err
			}
			if d.IsDir() {
				return os.MkdirAll(filepath.Join(to, rel), 0o755)
			}
			data, err := os.ReadFile(path)
			if err != nil || d.Name() == ".terraform.lock.hcl" {
				return err
			}
			return os.WriteFile(filepath.Join(to, rel), bytes.ReplaceAll(data, []byte(mark), []byte(canary)), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// run runs terraform in a folder, with more of the environment.
func run(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, made.terraform, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_CLI_CONFIG_FILE="+made.rc)
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// must is run that may not fail.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, nil, args...)
	if err != nil {
		t.Fatalf("terraform %s in %s: %v\n%s", strings.Join(args, " "), dir, err, out)
	}
	return out
}

// folders are those with a configuration in them, relative to terraform/.
func folders(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"modules/*/main.tf", "modules/internal/*/main.tf", "examples/*/main.tf"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			rel, err := filepath.Rel(top, filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, rel)
		}
	}
	return all
}
