package modules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// planted is one change of a file that must be found.
type planted struct {
	round                int // of its folder: what hides another is in another one
	name, file, old, new string
	says                 string // in what terraform says
}

// plant makes changes, until undo.
func plant(t *testing.T, root string, faults []planted) (undo func()) {
	t.Helper()
	was := map[string][]byte{}
	for _, p := range faults {
		file := filepath.Join(root, p.file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), p.old); n != 1 {
			t.Fatalf("%s: %s has %q %d times, expected once", p.name, p.file, p.old, n)
		}
		if was[file] == nil {
			was[file] = text
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), p.old, p.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for file, text := range was {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// eachPlanted runs terraform's command on each folder, once with all faults of a
// round: it must fail, and say of each what it should.
func eachPlanted(t *testing.T, faults []planted, command string) {
	of := map[string]map[int][]planted{}
	for _, p := range faults {
		folder := filepath.Dir(p.file)
		if of[folder] == nil {
			of[folder] = map[int][]planted{}
		}
		of[folder][p.round] = append(of[folder][p.round], p)
	}
	for folder, rounds := range of {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			root := tree(t)
			dir := filepath.Join(root, folder)
			must(t, dir, "init", "-input=false", "-no-color")
			for _, faults := range rounds {
				undo := plant(t, root, faults)
				out, err := run(t, dir, nil, command, "-no-color")
				undo()
				for _, p := range faults {
					t.Run(p.name, func(t *testing.T) {
						if err == nil || !strings.Contains(words(out), p.says) {
							t.Errorf("terraform %s (%v) does not say %q:\n%s", command, err, p.says, out)
						}
					})
				}
			}
		})
	}
}

// words takes line breaks and frames out of a diagnostic.
func words(out string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(out, "│", " ")), " ")
}

// An error of each kind, in arguments, blocks and nested attributes of both
// providers, is found by terraform validate.
func TestPlantedErrorsOfSchema(t *testing.T) {
	eachPlanted(t, []planted{
		{1, "misspelt argument", "modules/aws-region/main.tf", "  instance_type        = var.instance_type", "  instance_typ         = var.instance_type", `An argument named "instance_typ" is not expected here. Did you mean "instance_type"?`},
		{1, "misspelt argument in a block", "modules/aws-region/main.tf", `    http_tokens                 = "required"`, `    http_token                  = "required"`, `An argument named "http_token" is not expected here. Did you mean "http_tokens"?`},
		{2, "misspelt block", "modules/aws-region/main.tf", "  metadata_options {", "  metadata_option {", `Blocks of type "metadata_option" are not expected here. Did you mean "metadata_options"?`},
		{0, "misspelt in a nested attribute", "modules/cloudflare-zone/main.tf", "    effect            = \"allow\"", "    efect             = \"allow\"", `attribute "effect" is required`},
		{0, "misspelt data source's argument", "modules/route53-zone/main.tf", "  private_zone = length", "  privat_zone  = length", `An argument named "privat_zone" is not expected here.`},
		{4, "misspelt type", "modules/aws-region/main.tf", `resource "aws_eip" "host"`, `resource "aws_eips" "host"`, `does not support resource type "aws_eips"`},
		{1, "misspelt export", "modules/aws-region/outputs.tf", "aws_network_interface.host.private_ip", "aws_network_interface.host.private_ipv4", `This object has no argument, nested block, or exported attribute named "private_ipv4".`},
		{0, "misspelt provider argument", "examples/three-regions/main.tf", "  region = values(var.places)[0].aws_region", "  regio  = values(var.places)[0].aws_region", `An argument named "regio" is not expected here. Did you mean "region"?`},
		{1, "argument of a block outside of it", "modules/aws-region/main.tf", "  user_data            = local.user_data", "  user_data            = local.user_data\n  volume_type          = \"gp3\"", `An argument named "volume_type" is not expected here.`},
		{1, "argument in the wrong block", "modules/aws-region/main.tf", `    auto_recovery = "default"`, "    auto_recovery = \"default\"\n    encrypted     = true", `An argument named "encrypted" is not expected here.`},
		{0, "block outside of its block", "modules/aws-scheduled/main.tf", "  flexible_time_window {\n    mode = \"OFF\"\n  }", "  flexible_time_window {\n    mode = \"OFF\"\n  }\n  retry_policy {\n  }", `Blocks of type "retry_policy" are not expected here.`},
		{2, "nested attribute as a block", "modules/cloudflare-zone/main.tf", "  account = {\n    id = var.account_id", "  account {\n    id = var.account_id", `Blocks of type "account" are not expected here. Did you mean to define argument "account"?`},
		{2, "block as an argument", "modules/aws-region/main.tf", "  maintenance_options {", "  maintenance_options = {", `An argument named "maintenance_options" is not expected here. Did you mean to define a block of type "maintenance_options"?`},
		{1, "wrong type: text for a number", "modules/aws-region/main.tf", "    http_put_response_hop_limit = 1", "    http_put_response_hop_limit = \"one\"", `Inappropriate value for attribute "http_put_response_hop_limit": a number is required.`},
		{0, "wrong type: text for a list", "modules/aws-region/main.tf", "  security_groups = [aws_security_group.host.id]", "  security_groups = \"sg-1\"", `Inappropriate value for attribute "security_groups": set of string required.`},
		{2, "wrong type: a list for a map", "modules/aws-scheduled/main.tf", "  name   = local.name\n  tags   = local.tags", "  name   = local.name\n  tags   = [\"veer\"]", `Inappropriate value for attribute "tags": map of string required.`},
		{1, "wrong type: text for true or false", "modules/aws-region/main.tf", "    encrypted   = true", "    encrypted   = \"yes\"", `Inappropriate value for attribute "encrypted": a bool is required`},
		{0, "wrong type in a nested attribute", "modules/cloudflare-zone/main.tf", "request_ip = { in = var.token_cidrs }", "request_ip = { in = { a = \"b\" } }", `list of string required`},
		{0, "missing argument", "modules/aws-region/main.tf", "  subnet_id       = var.subnet_id\n", "", `The argument "subnet_id" is required, but no definition was found.`},
		{1, "missing argument of a block", "modules/aws-region/main.tf", "    network_interface_id = aws_network_interface.host.id\n", "", `The argument "network_interface_id" is required, but no definition was found.`},
		{1, "missing block", "modules/aws-scheduled/main.tf", "  flexible_time_window {\n    mode = \"OFF\"\n  }\n", "", `At least 1 "flexible_time_window" blocks are required.`},
		{1, "one block too many", "modules/aws-region/main.tf", "  maintenance_options {", "  maintenance_options {\n    auto_recovery = \"disabled\"\n  }\n\n  maintenance_options {", `No more than 1 "maintenance_options" blocks are allowed`},
		{1, "missing in a nested attribute", "modules/cloudflare-zone/main.tf", "    resources         = jsonencode(local.resources)\n", "", `attribute "resources" is required`},
		{3, "set what is only read", "modules/aws-region/main.tf", "  domain            = \"vpc\"", "  domain            = \"vpc\"\n  public_ip         = \"192.0.2.1\"", `Can't configure a value for "public_ip"`},
	}, "validate")
}

// A module that does something else than it should is found by its own tests.
func TestPlantedFaultsOfModules(t *testing.T) {
	eachPlanted(t, []planted{
		{0, "all ports open", "modules/aws-region/main.tf", "  from_port         = each.value.port\n  to_port           = each.value.port", "  from_port         = 0\n  to_port           = 65535", "A rule opens more than one port."},
		{0, "open to everybody", "modules/aws-region/main.tf", `"${ip}/32" if region`, `"0.0.0.0/0" if region`, "Exactly the other members reach both ports."},
		{0, "reads every parameter", "modules/aws-region/main.tf", `[local.parameters_arn, "${local.parameters_arn}/*"]`, `["*"]`, "A statement allows everything."},
		{0, "another region's time", "modules/aws-region/main.tf", "floor(module.config.position * 60 / max(length(module.config.regions), 1)) % 60", "0", "The witness's time is that of another region"},
		{0, "metadata without a token", "modules/aws-region/main.tf", `http_tokens                 = "required"`, `http_tokens                 = "optional"`, "The host takes metadata requests without a token"},
		{0, "not the config's members", "modules/aws-region/main.tf", "condition     = jsonencode(module.config.members) == jsonencode(var.members)", "condition     = jsonencode(module.config.members) == jsonencode(var.members) || true", "was expected to report an error"},
		{0, "no look at endpoints", "modules/aws-scheduled/main.tf", "condition     = length(module.config.endpoints) > 0", "condition     = length(module.config.endpoints) >= 0", "was expected to report an error"},
		{0, "a pass that is made up for", "modules/aws-scheduled/main.tf", "maximum_retry_attempts       = 0", "maximum_retry_attempts       = 3", "A pass that was missed is made up for."},
		{0, "a token for every zone", "modules/cloudflare-zone/main.tf", `"com.cloudflare.api.account.zone.${local.zone_id}" = "*"`, `"com.cloudflare.api.account.zone.*" = "*"`, "The scopes are not those of this zone alone."},
		{0, "a token nobody asked for", "modules/cloudflare-zone/variables.tf", "  default     = \"none\"", "  default     = \"write\"", "A token was made without being asked for"},
		{0, "a policy for another zone", "modules/internal/route53-policy/main.tf", "if z.name == local.zone_of[n]", "if true", "A name is allowed in another zone than the longest"},
		{0, "an order of its own", "modules/onprem/main.tf", "[for r in module.config.regions : r if contains(keys(var.hosts), r)]", "reverse([for r in module.config.regions : r if contains(keys(var.hosts), r)])", "The hosts are not rolled in the order of veer.yaml."},
		{0, "a member without a certificate", "modules/onprem/main.tf", "var.hosts[each.key].key_file != null", "true", "terraform_data.host, was expected to report an error"},
		{1, "two regions on one host", "modules/onprem/variables.tf", ")) == length(var.hosts)", ")) <= length(var.hosts)", "var.hosts, was expected to report an error"},
		{0, "secrets_version without effect", "modules/onprem/main.tf", "keys(var.secret_files), var.secrets_version,", "keys(var.secret_files),", "Raising secrets_version brings nothing."},
	}, "test")
}

// Nothing is made with the stand-in but by a mock: a plan is refused.
func TestStandInRefusesToPlan(t *testing.T) {
	dir := filepath.Join(tree(t), "modules", "route53-zone")
	must(t, dir, "init", "-input=false", "-no-color")
	out, err := run(t, dir, nil, "plan", "-no-color", "-input=false", "-var=name=example.org", "-var=owner=shop")
	if err == nil || !strings.Contains(out, "This provider is a schema alone") {
		t.Errorf("terraform plan with the stand-in gave %v, expected a refusal:\n%s", err, out)
	}
}

// A test without the mock would meet the stand-in, too.
func TestStandInRefusesToApply(t *testing.T) {
	root := tree(t)
	dir := filepath.Join(root, "modules", "route53-zone")
	file := filepath.Join(dir, "tests", "route53-zone.tftest.hcl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mock := regexp.MustCompile(`(?s)mock_provider "aws" \{.*?\n\}\n`)
	if err := os.WriteFile(file, mock.ReplaceAll(text, nil), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, dir, "init", "-input=false", "-no-color")
	if out, err := run(t, dir, nil, "test", "-no-color"); err == nil || !strings.Contains(out, "This provider is a schema alone") {
		t.Errorf("terraform test without a mock gave %v, expected a refusal:\n%s", err, out)
	}
}
