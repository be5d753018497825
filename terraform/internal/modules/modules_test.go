package modules

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/veerdns/veer/terraform/internal/schemas"
)

// What the issue of the modules lists is there; a folder that vanished would
// otherwise be no failure.
func TestNoFolderIsMissing(t *testing.T) {
	have := folders(t)
	for _, want := range []string{
		"modules/aws-region", "modules/aws-scheduled", "modules/route53-zone", "modules/cloudflare-zone", "modules/onprem",
		"examples/two-regions-witness", "examples/three-regions", "examples/on-prem", "examples/scheduled",
	} {
		if !slices.Contains(have, want) {
			t.Errorf("%s has no main.tf", want)
		}
	}
}

func TestFormat(t *testing.T) {
	out, err := run(t, top, nil, "fmt", "-check", "-diff", "-recursive", "modules")
	if err != nil {
		t.Errorf("terraform fmt would change modules: %v\n%s", err, out)
	}
	out, err = run(t, top, nil, "fmt", "-check", "-diff", "-recursive", "examples")
	if err != nil {
		t.Errorf("terraform fmt would change examples: %v\n%s", err, out)
	}
}

// Every folder by itself: init, validate, and its own tests.
func TestFolders(t *testing.T) {
	root := tree(t)
	for _, folder := range folders(t) {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			if name, ok := strings.CutPrefix(folder, "examples/"); ok {
				if example(t, name).passed == 0 {
					t.Error("terraform test ran nothing")
				}
				return
			}
			dir := filepath.Join(root, folder)
			must(t, dir, "init", "-input=false", "-no-color")
			must(t, dir, "validate", "-no-color")
			out := must(t, dir, "test", "-no-color")
			if m := regexp.MustCompile(`Success! (\d+) passed, 0 failed\.`).FindStringSubmatch(out); m == nil || m[1] == "0" {
				t.Errorf("terraform test ran nothing:\n%s", out)
			}
		})
	}
}

// The schemas that are kept are those of exactly the types in use, from the
// pinned packages.
func TestSchemasAreOfTheTypesInUse(t *testing.T) {
	used := map[string]bool{}
	block := regexp.MustCompile(`(?m)^(resource|data) "((?:aws|cloudflare)_\w+)"`)
	for _, folder := range folders(t) {
		files, err := filepath.Glob(filepath.Join(top, folder, "*.tf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range block.FindAllStringSubmatch(string(text), -1) {
				used[m[1]+" "+m[2]] = true
			}
		}
	}
	raw, err := os.ReadFile("../schemas/sources.json")
	if err != nil {
		t.Fatal(err)
	}
	var sources map[string]struct {
		Version, Integrity string
		Resources, Data    []string
	}
	if err := json.Unmarshal(raw, &sources); err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for _, name := range schemas.Names() {
		p, err := schemas.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		from := sources[name]
		if p.Source.PackageVersion != from.Version || p.Source.Integrity != from.Integrity {
			t.Errorf("%s.json was made from another package than sources.json pins: run make terraform-schemas", name)
		}
		for typ := range p.Resources {
			kept["resource "+typ] = true
			if !slices.Contains(from.Resources, typ) {
				t.Errorf("%s.json has resource %s, sources.json does not: run make terraform-schemas", name, typ)
			}
		}
		for typ := range p.DataSources {
			kept["data "+typ] = true
			if !slices.Contains(from.Data, typ) {
				t.Errorf("%s.json has data source %s, sources.json does not: run make terraform-schemas", name, typ)
			}
		}
	}
	for typ := range used {
		if !kept[typ] {
			t.Errorf("%s is used, and its schema is not kept: add it to sources.json and run make terraform-schemas", typ)
		}
	}
	for typ := range kept {
		if !used[typ] {
			t.Errorf("the schema of %s is kept, and nothing uses it: take it out of sources.json and run make terraform-schemas", typ)
		}
	}
}

// What terraform got from the stand-in is what the kept files say.
func TestStandInServesTheSchemas(t *testing.T) {
	dir := filepath.Join(tree(t), "examples", "three-regions")
	must(t, dir, "init", "-input=false", "-no-color")
	var served struct {
		Providers map[string]struct {
			Resources map[string]struct {
				Block struct {
					Attributes map[string]struct {
						Required, Optional, Computed bool
						WriteOnly                    bool `json:"write_only"`
					}
					Blocks map[string]struct {
						Nesting  string `json:"nesting_mode"`
						Min, Max int
					} `json:"block_types"`
				}
			} `json:"resource_schemas"`
		} `json:"provider_schemas"`
	}
	out := must(t, dir, "providers", "schema", "-json")
	if err := json.Unmarshal([]byte(out), &served); err != nil {
		t.Fatal(err)
	}
	for address, got := range served.Providers {
		name := address[strings.LastIndex(address, "/")+1:]
		p, err := schemas.Load(name)
		if err != nil {
			continue // the built-in one
		}
		if len(got.Resources) != len(p.Resources) || len(got.Resources) == 0 {
			t.Errorf("%s serves %d resources, expected %d", address, len(got.Resources), len(p.Resources))
		}
		for typ, want := range p.Resources {
			block := got.Resources[typ].Block
			if len(block.Attributes) != len(want.Attributes) || len(block.Blocks) != len(want.Blocks) {
				t.Errorf("%s: %d attributes and %d blocks are served, expected %d and %d", typ, len(block.Attributes), len(block.Blocks), len(want.Attributes), len(want.Blocks))
			}
			for name, a := range want.Attributes {
				g := block.Attributes[name]
				if g.Required != a.Required || g.Optional != a.Optional || g.Computed != a.Computed || g.WriteOnly != a.WriteOnly {
					t.Errorf("%s.%s is served as %+v, expected %+v", typ, name, g, a)
				}
			}
			for name, b := range want.Blocks {
				if block.Blocks[name].Nesting != b.Nesting {
					t.Errorf("%s.%s is served as a %q, expected a %q", typ, name, block.Blocks[name].Nesting, b.Nesting)
				}
			}
		}
	}
	if !served.Providers[firstWith(served.Providers, "/aws")].Resources["aws_ssm_parameter"].Block.Attributes["value_wo"].WriteOnly {
		t.Error("value_wo of aws_ssm_parameter is not write-only")
	}
}

func firstWith[V any](m map[string]V, suffix string) string {
	for k := range m {
		if strings.HasSuffix(k, suffix) {
			return k
		}
	}
	return ""
}
