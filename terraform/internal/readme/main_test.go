package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = `
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.0" }
  }
}
variable "b" {
  description = "One | of two."
  type        = map(string)
  default     = {}
}
variable "a" {
  description = "The first."
  type = object({
    x = string
  })
}
output "o" {
  description = "What comes out."
  value       = var.a
}
resource "aws_eip" "host" {}
`

func folder(t *testing.T, main, readme string) (top, file string) {
	t.Helper()
	top = t.TempDir()
	dir := filepath.Join(top, "modules", "m")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "README.md")
	for path, text := range map[string]string{filepath.Join(dir, "main.tf"): main, file: readme} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return top, file
}

func TestTables(t *testing.T) {
	top, file := folder(t, example, "# m\n\nBy hand.\n\n"+marker+"\nold\n")
	if err := run(top, true); err == nil {
		t.Error("a README that does not tell what the files say passes the check")
	}
	if err := run(top, false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = "# m\n\nBy hand.\n\n" + marker + `

## Variables

| name | type | default | meaning |
|---|---|---|---|
| ` + "`a` | `object({ x = string })`" + ` | required | The first. |
| ` + "`b` | `map(string)` | `{}`" + ` | One \| of two. |

## Outputs

| name | meaning |
|---|---|
| ` + "`o`" + ` | What comes out. |

## What it is made of

- Terraform >= 1.11
- Providers: aws (hashicorp/aws, ~> 6.0)
- Resources: ` + "`aws_eip.host`\n"
	if string(text) != want {
		t.Errorf("the README is\n%s\nexpected\n%s", text, want)
	}
	if err := run(top, true); err != nil {
		t.Errorf("what was just written does not pass the check: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string][2]string{
		"no marker":         {example, "# m\n"},
		"no description":    {strings.Replace(example, `description = "The first."`, "", 1), marker},
		"no type":           {"variable \"a\" {\n  description = \"A.\"\n}\n", marker},
		"what cannot parse": {"variable {", marker},
	} {
		top, _ := folder(t, c[0], c[1])
		if err := run(top, false); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := run(t.TempDir(), true); err == nil {
		t.Error("a folder without modules passes the check")
	}
}
