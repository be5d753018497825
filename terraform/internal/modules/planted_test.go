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
	name, file, old, new string
	says                 string // in what terraform says
}

// plant makes the change, until undo. The folder is initialised once.
func (p planted) plant(t *testing.T, root string) (dir string, undo func()) {
	t.Helper()
	file := filepath.Join(root, p.file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), p.old); n != 1 {
		t.Fatalf("%s has %q %d times, expected once", p.file, p.old, n)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), p.old, p.new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(file), func() {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// eachPlanted runs terraform's command with each fault, which must fail and say
// what it should. Faults of different folders are tried at the same time.
func eachPlanted(t *testing.T, faults []planted, command string) {
	of := map[string][]planted{}
	for _, p := range faults {
		folder := filepath.Dir(p.file)
		of[folder] = append(of[folder], p)
	}
	for folder, faults := range of {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			root := tree(t)
			must(t, filepath.Join(root, folder), "init", "-input=false", "-no-color")
			for _, p := range faults {
				t.Run(p.name, func(t *testing.T) {
					dir, undo := p.plant(t, root)
					defer undo()
					out, err := run(t, dir, nil, command, "-no-color")
					if err == nil {
						t.Fatalf("terraform %s found nothing:\n%s", command, out)
					}
					if !strings.Contains(words(out), p.says) {
						t.Errorf("terraform %s does not say %q:\n%s", command, p.says, out)
					}
				})
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
		{"misspelt argument", "modules/aws-region/main.tf", "  instance_type        = var.instance_type", "  instance_typ         = var.instance_type", `An argument named "instance_typ" is not expected here. Did you mean "instance_type"?`},
		{"misspelt argument in a block", "modules/aws-region/main.tf", `    http_tokens                 = "required"`, `    http_token                  = "required"`, `An argument named "http_token" is not expected here. Did you mean "http_tokens"?`},
		{"misspelt block", "modules/aws-region/main.tf", "  metadata_options {", "  metadata_option {", `Blocks of type "metadata_option" are not expected here. Did you mean "metadata_options"?`},
		{"misspelt in a nested attribute", "modules/cloudflare-zone/main.tf", "    effect            = \"allow\"", "    efect             = \"allow\"", `attribute "effect" is required`},
		{"misspelt data source's argument", "modules/route53-zone/main.tf", "  private_zone = length", "  privat_zone  = length", `An argument named "privat_zone" is not expected here.`},
		{"misspelt type", "modules/aws-region/main.tf", `resource "aws_eip" "host"`, `resource "aws_eips" "host"`, `does not support resource type "aws_eips"`},
		{"misspelt export", "modules/aws-region/outputs.tf", "aws_network_interface.host.private_ip", "aws_network_interface.host.private_ipv4", `This object has no argument, nested block, or exported attribute named "private_ipv4".`},
		{"misspelt provider argument", "examples/three-regions/main.tf", "  region = values(var.places)[0].aws_region", "  regio  = values(var.places)[0].aws_region", `An argument named "regio" is not expected here. Did you mean "region"?`},
		{"argument of a block outside of it", "modules/aws-region/main.tf", "  user_data            = local.user_data", "  user_data            = local.user_data\n  volume_type          = \"gp3\"", `An argument named "volume_type" is not expected here.`},
		{"argument in the wrong block", "modules/aws-region/main.tf", `    auto_recovery = "default"`, "    auto_recovery = \"default\"\n    encrypted     = true", `An argument named "encrypted" is not expected here.`},
		{"block outside of its block", "modules/aws-scheduled/main.tf", "  flexible_time_window {\n    mode = \"OFF\"\n  }", "  flexible_time_window {\n    mode = \"OFF\"\n  }\n  retry_policy {\n  }", `Blocks of type "retry_policy" are not expected here.`},
		{"nested attribute as a block", "modules/cloudflare-zone/main.tf", "  account = {\n    id = var.account_id", "  account {\n    id = var.account_id", `Blocks of type "account" are not expected here. Did you mean to define argument "account"?`},
		{"block as an argument", "modules/aws-region/main.tf", "  maintenance_options {", "  maintenance_options = {", `An argument named "maintenance_options" is not expected here. Did you mean to define a block of type "maintenance_options"?`},
		{"wrong type: text for a number", "modules/aws-region/main.tf", "    http_put_response_hop_limit = 1", "    http_put_response_hop_limit = \"one\"", `Inappropriate value for attribute "http_put_response_hop_limit": a number is required.`},
		{"wrong type: text for a list", "modules/aws-region/main.tf", "  security_groups = [aws_security_group.host.id]", "  security_groups = \"sg-1\"", `Inappropriate value for attribute "security_groups": set of string required.`},
		{"wrong type: a list for a map", "modules/aws-scheduled/main.tf", "  name   = local.name\n  tags   = local.tags", "  name   = local.name\n  tags   = [\"veer\"]", `Inappropriate value for attribute "tags": map of string required.`},
		{"wrong type: text for true or false", "modules/aws-region/main.tf", "    encrypted   = true", "    encrypted   = \"yes\"", `Inappropriate value for attribute "encrypted": a bool is required`},
		{"wrong type in a nested attribute", "modules/cloudflare-zone/main.tf", "request_ip = { in = var.token_cidrs }", "request_ip = { in = { a = \"b\" } }", `list of string required`},
		{"missing argument", "modules/aws-region/main.tf", "  subnet_id       = var.subnet_id\n", "", `The argument "subnet_id" is required, but no definition was found.`},
		{"missing argument of a block", "modules/aws-region/main.tf", "    network_interface_id = aws_network_interface.host.id\n", "", `The argument "network_interface_id" is required, but no definition was found.`},
		{"missing block", "modules/aws-scheduled/main.tf", "  flexible_time_window {\n    mode = \"OFF\"\n  }\n", "", `At least 1 "flexible_time_window" blocks are required.`},
		{"one block too many", "modules/aws-region/main.tf", "  maintenance_options {", "  maintenance_options {\n    auto_recovery = \"disabled\"\n  }\n\n  maintenance_options {", `No more than 1 "maintenance_options" blocks are allowed`},
		{"missing in a nested attribute", "modules/cloudflare-zone/main.tf", "    resources         = jsonencode(local.resources)\n", "", `attribute "resources" is required`},
		{"set what is only read", "modules/aws-region/main.tf", "  domain            = \"vpc\"", "  domain            = \"vpc\"\n  public_ip         = \"192.0.2.1\"", `Can't configure a value for "public_ip"`},
	}, "validate")
}

// A module that does something else than it should is found by its own tests.
func TestPlantedFaultsOfModules(t *testing.T) {
	eachPlanted(t, []planted{
		{"all ports open", "modules/aws-region/main.tf", "  from_port         = each.value.port\n  to_port           = each.value.port", "  from_port         = 0\n  to_port           = 65535", "A rule opens more than one port."},
		{"open to everybody", "modules/aws-region/main.tf", `"${ip}/32" if region`, `"0.0.0.0/0" if region`, "Exactly the other members reach both ports."},
		{"reads every parameter", "modules/aws-region/main.tf", `[local.parameters_arn, "${local.parameters_arn}/*"]`, `["*"]`, "A statement allows everything."},
		{"another region's time", "modules/aws-region/main.tf", "floor(module.config.position * 60 / max(length(module.config.regions), 1)) % 60", "0", "The witness's time is that of another region"},
		{"metadata without a token", "modules/aws-region/main.tf", `http_tokens                 = "required"`, `http_tokens                 = "optional"`, "The host takes metadata requests without a token"},
		{"not the config's members", "modules/aws-region/main.tf", "condition     = jsonencode(module.config.members) == jsonencode(var.members)", "condition     = jsonencode(module.config.members) == jsonencode(var.members) || true", "was expected to report an error"},
		{"no look at endpoints", "modules/aws-scheduled/main.tf", "condition     = length(module.config.endpoints) > 0", "condition     = length(module.config.endpoints) >= 0", "was expected to report an error"},
		{"a pass that is made up for", "modules/aws-scheduled/main.tf", "maximum_retry_attempts       = 0", "maximum_retry_attempts       = 3", "A pass that was missed is made up for."},
		{"a token for every zone", "modules/cloudflare-zone/main.tf", `"com.cloudflare.api.account.zone.${local.zone_id}" = "*"`, `"com.cloudflare.api.account.zone.*" = "*"`, "The scopes are not those of this zone alone."},
		{"a token nobody asked for", "modules/cloudflare-zone/variables.tf", "  default     = \"none\"", "  default     = \"write\"", "A token was made without being asked for"},
		{"a policy for another zone", "modules/internal/route53-policy/main.tf", "if z.name == local.zone_of[n]", "if true", "A name is allowed in another zone than the longest"},
		{"an order of its own", "modules/onprem/main.tf", "[for r in module.config.regions : r if contains(keys(var.hosts), r)]", "reverse([for r in module.config.regions : r if contains(keys(var.hosts), r)])", "The hosts are not rolled in the order of veer.yaml."},
		{"a member without a certificate", "modules/onprem/main.tf", "var.hosts[each.key].key_file != null", "true", "was expected to report an error"},
		{"two regions on one host", "modules/onprem/variables.tf", ")) == length(var.hosts)", ")) <= length(var.hosts)", "was expected to report an error"},
		{"secrets_version without effect", "modules/onprem/main.tf", "keys(var.secret_files), var.secrets_version,", "keys(var.secret_files),", "Raising secrets_version brings nothing."},
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
