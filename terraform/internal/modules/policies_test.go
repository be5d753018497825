package modules

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sameJSON compares two policies, in which the order of a list does not matter.
func sameJSON(t *testing.T, got, want string) bool {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	return reflect.DeepEqual(a, b)
}

// The policy's model is what the command prints for it.
func TestPolicyModelIsTheCommands(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"veer.yaml": modelConfig})
	want, err := veer(t, dir, "iam-policy", "-c", "veer.yaml")
	if err != nil {
		t.Fatalf("veer iam-policy: %v\n%s", err, want)
	}
	file := filepath.Join(top, "modules/internal/route53-policy/policy.json")
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != strings.TrimSpace(want) {
		t.Errorf("%s is not what veer iam-policy prints: put this there\n%s", file, want)
	}
}

const modelConfig = `owner: the-owner
regions: [a, b, c]
providers:
  aws: {kind: route53, zones: [{name: the-zone.invalid, id: Z0000000000000000000}]}
monitors:
  web: {kind: http, port: 80}
services:
  - name: the-service.the-zone.invalid
    monitor: web
    pools:
      - {region: a, endpoints: [192.0.2.1]}
      - {region: b, endpoints: [192.0.2.2]}
`

// Of every config, the modules allow exactly what the command prints.
func TestPoliciesAreTheCommands(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tree(t), "modules", "internal", "ask")
	write(t, dir, map[string]string{"main.tf": `
variable "configs" { type = map(string) }
module "config" {
  source           = "../config"
  for_each         = var.configs
  yaml             = each.value
  region           = "a"
  route53_provider = "aws"
}
module "policy" {
  source    = "../route53-policy"
  for_each  = { for pair in setproduct(keys(var.configs), [false, true]) : "${pair[0]} ${pair[1]}" => pair }
  owner     = module.config[each.value[0]].owner
  zones     = module.config[each.value[0]].route53.zones
  names     = module.config[each.value[0]].route53.names
  types     = module.config[each.value[0]].route53.types
  read_only = each.value[1]
}
output "policies" { value = { for name, p in module.policy : name => p.json } }
`})
	const head = "owner: shop-1\nregions: [a, b]\nmonitors: {web: {kind: http, port: 80}}\n"
	configs := map[string]string{
		"one name": head + `
providers: {aws: {kind: route53, zones: [{name: example.org, id: Z01}]}}
services: [{name: app.example.org, monitor: web, pools: [{region: a, endpoints: [192.0.2.1]}, {region: b, endpoints: ["2001:db8::1"]}]}]
`,
		"zones in zones, an apex": head + `
providers: {aws: {kind: route53, zones: [{name: example.org, id: Z01}, {name: eu.example.org., id: Z02}, {name: other.example.net, id: Z03}]}}
services:
  - {name: example.org, monitor: web, pools: [{region: a, endpoints: [192.0.2.1]}]}
  - {name: App.EU.example.org., monitor: web, pools: [{region: a, endpoints: [192.0.2.2]}]}
  - {name: eu.example.org, monitor: web, pools: [{region: a, endpoints: [192.0.2.3]}]}
  - {name: a_b.noteu.example.org, monitor: web, pools: [{region: a, endpoints: [192.0.2.5]}]}
`,
		"several providers, a fallback": head + `
providers:
  aws: {kind: route53, zones: [{name: example.org, id: Z01}]}
  more: {kind: route53, zones: [{name: example.net, id: Z02}]}
services:
  - {name: app.example.org, monitor: web, providers: [aws], all_down: fallback, fallback: [192.0.2.9], pools: [{region: a, endpoints: [192.0.2.1]}]}
  - {name: app.example.net, monitor: web, pools: [{region: a, endpoints: [192.0.2.1]}]}
`,
		"host names and aliases": head + `
providers:
  aws:
    kind: route53
    zones: [{name: example.org, id: Z01}]
    aliases:
      lb-1.example.com: {zone_id: Z09, types: [A]}
      lb-2.example.com: {zone_id: Z09, types: [A]}
services:
  - {name: app.example.org, monitor: web, pools: [{region: a, endpoints: [lb-1.example.com]}, {region: b, endpoints: [lb-2.example.com]}]}
`,
		"host names alone": head + `
providers: {aws: {kind: route53, zones: [{name: example.org, id: Z01}]}}
services: [{name: app.example.org, monitor: web, pools: [{region: a, endpoints: [one.example.com]}]}]
`,
		"no name in the zone": head + `
providers:
  aws: {kind: route53, zones: [{name: example.org, id: Z01}]}
  more: {kind: route53, zones: [{name: example.net, id: Z02}]}
services: [{name: app.example.net, monitor: web, pools: [{region: a, endpoints: [192.0.2.1]}]}]
`,
	}
	vars, err := json.Marshal(map[string]any{"configs": configs})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"all.auto.tfvars.json": string(vars)})
	must(t, dir, "init", "-input=false", "-no-color")
	must(t, dir, "apply", "-auto-approve", "-input=false", "-no-color")
	var policies map[string]string
	if err := json.Unmarshal([]byte(must(t, dir, "output", "-json", "policies")), &policies); err != nil {
		t.Fatal(err)
	}
	for name, config := range configs {
		for _, readOnly := range []string{"false", "true"} {
			t.Run(name+", read only "+readOnly, func(t *testing.T) {
				folder := t.TempDir()
				write(t, folder, map[string]string{"veer.yaml": config})
				want, err := veer(t, folder, "iam-policy", "-c", "veer.yaml", "--provider", "aws", "--read-only="+readOnly)
				if err != nil {
					t.Fatalf("veer iam-policy: %v\n%s", err, want)
				}
				if got := policies[name+" "+readOnly]; !sameJSON(t, got, want) {
					t.Errorf("the module makes\n%s\nveer iam-policy prints\n%s", got, want)
				}
			})
		}
	}
}

// The examples' rights are those that the command prints for their veer.yaml.
func TestExamplesPoliciesAreTheCommands(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"two-regions-witness", "scheduled"} {
		r := example(t, name)
		dir := t.TempDir()
		write(t, dir, map[string]string{"veer.yaml": r.text(t, "config")})
		want, err := veer(t, dir, "iam-policy", "-c", "veer.yaml")
		if err != nil {
			t.Fatalf("veer iam-policy: %v\n%s", err, want)
		}
		got := r.text(t, "route53_policy")
		if !sameJSON(t, got, want) {
			t.Errorf("%s: the module makes\n%s\nveer iam-policy prints\n%s", name, got, want)
		}
		if sameJSON(t, strings.Replace(got, "CREATE", "UPSERT", 1), want) {
			t.Errorf("%s: a policy with another action passes for the same", name)
		}
	}
}
