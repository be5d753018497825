mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_subnet" {
    defaults = { vpc_id = "vpc-0123456789abcdef0" }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "ami-0123456789abcdef0" }
  }
}

variables {
  region     = "eu-west"
  aws_region = "eu-west-1"
  subnet_id  = "subnet-0123456789abcdef0"
  release    = { url = "s3://releases/veer-linux-arm64", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  members    = { eu-west = "10.0.1.10", us-east = "10.1.1.10", witness = "10.2.1.10" }

  route53_provider = "aws"
  secret_files     = ["ca.pem", "host.pem", "host.key"]
  secrets          = { "ca.pem" = "CANARY-ca", "host.pem" = "CANARY-pem", "host.key" = "CANARY-key" }

  config = <<-YAML
    owner: shop
    regions: [eu-west, us-east]
    vantages: [eu-west, us-east, witness]
    cluster:
      members:
        eu-west: {peer: "https://10.0.1.10:2380", client: "https://10.0.1.10:2379"}
        us-east: {peer: "https://10.1.1.10:2380", client: "https://10.1.1.10:2379"}
        witness: {peer: "https://10.2.1.10:2380", client: "https://10.2.1.10:2379"}
    providers:
      aws: {kind: route53, zones: [{name: example.org, id: Z0123456789}]}
    monitors:
      web: {kind: http, port: 8080}
    services:
      - name: app.example.org
        monitor: web
        pools:
          - {region: eu-west, endpoints: [192.0.2.10, "2001:db8::10"]}
          - {region: us-east, endpoints: [198.51.100.10]}
  YAML
}

run "a_member_of_three" {
  command = apply

  assert {
    condition     = aws_network_interface.host.private_ips == toset(["10.0.1.10"])
    error_message = "The host does not have the address of its member."
  }
  assert {
    condition = toset([for r in aws_vpc_security_group_ingress_rule.host : "${r.cidr_ipv4} ${r.from_port}"]) == toset([
      "10.1.1.10/32 2380", "10.1.1.10/32 2379", "10.2.1.10/32 2380", "10.2.1.10/32 2379",
    ])
    error_message = "Exactly the other members reach both ports."
  }
  assert {
    condition     = alltrue([for r in aws_vpc_security_group_ingress_rule.host : r.from_port == r.to_port && r.ip_protocol == "tcp"])
    error_message = "A rule opens more than one port."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.read.policy).Statement[0].Resource[0] == "arn:aws:ssm:eu-west-1:123456789012:parameter/veer/shop/eu-west"
    error_message = "The host may read other parameters than its own."
  }
  assert {
    condition     = !anytrue([for s in jsondecode(aws_iam_role_policy.read.policy).Statement : contains(s.Resource, "*")])
    error_message = "A statement allows everything."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.read.policy).Statement[1].Resource[0] == "arn:aws:s3:::releases/veer-linux-arm64"
    error_message = "The host cannot read the release, or more than that."
  }
  assert {
    condition     = !strcontains(jsonencode([aws_instance.host, aws_ssm_parameter.config, aws_ssm_parameter.secret, output.user_data]), "CANARY-")
    error_message = "A secret is in the state."
  }
  assert {
    condition     = aws_ssm_parameter.secret["host.key"].type == "SecureString" && aws_ssm_parameter.secret["host.key"].name == "/veer/shop/eu-west/secrets/host.key"
    error_message = "The key is not where the host looks for it, or not encrypted."
  }
  assert {
    condition     = yamldecode(aws_ssm_parameter.host.value).tls.key_file == "secrets/host.key"
    error_message = "host.yaml does not name the key."
  }
  assert {
    condition     = aws_instance.host.metadata_options[0].http_tokens == "required" && aws_instance.host.root_block_device[0].encrypted
    error_message = "The host takes metadata requests without a token, or its disk is not encrypted."
  }
  assert {
    condition     = length(aws_eip.host) == 0 && output.public_ip == null
    error_message = "It has an address in the internet that nobody asked for."
  }
  assert {
    condition     = strcontains(output.user_data, "OnCalendar=*-*-* *:00:00") && strcontains(output.user_data, "MEMBERS=3")
    error_message = "The start script has another time, or number of members."
  }
}

run "each_region_at_its_own_time" {
  command = plan
  variables {
    region = "witness"
    role   = "witness"
  }
  assert {
    condition     = output.update_at == "*-*-* *:40:00"
    error_message = "The witness's time is that of another region, or not by its place."
  }
  assert {
    condition     = strcontains(output.user_data, "VEER_ROLE=witness")
    error_message = "The role is not in the start script."
  }
}

run "an_authority_without_a_member" {
  command = apply
  variables {
    members      = {}
    secret_files = []
    secrets      = {}
    public_ip    = true
    dns_cidrs    = ["0.0.0.0/0", "::/0"]
    files        = { "example.org.zone" = "; a zone" }

    route53_provider = null

    config = <<-YAML
      owner: shop
      regions: [eu-west]
      providers:
        here: {kind: authority, listen: ["0.0.0.0:53"], zones: [{name: example.org, file: example.org.zone}]}
    YAML
  }
  assert {
    condition     = toset([for k, r in aws_vpc_security_group_ingress_rule.host : "${r.ip_protocol} ${r.from_port} ${coalesce(r.cidr_ipv4, r.cidr_ipv6)}"]) == toset(["udp 53 0.0.0.0/0", "tcp 53 0.0.0.0/0", "udp 53 ::/0", "tcp 53 ::/0"])
    error_message = "Port 53 is not open over UDP and TCP, IPv4 and IPv6, or more is."
  }
  assert {
    condition     = length(aws_iam_role_policy.route53) == 0 && output.route53_policy == null
    error_message = "It has rights in Route 53 without being asked to."
  }
  assert {
    condition     = aws_ssm_parameter.file["example.org.zone"].value == base64gzip("; a zone")
    error_message = "The zone file is not in SSM."
  }
  assert {
    condition     = length(aws_eip.host) == 1
    error_message = "It has no Elastic IP."
  }
}

run "refuses_a_region_that_is_not_in_the_config" {
  command = plan
  variables {
    region = "ap-south"
  }
  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_members_that_differ_from_the_config" {
  command = plan
  variables {
    members = { eu-west = "10.0.1.11", us-east = "10.1.1.10", witness = "10.2.1.10" }
  }
  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_a_member_without_certificate" {
  command = plan
  variables {
    secret_files = ["ca.pem"]
  }
  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_a_provider_that_is_not_route53" {
  command = plan
  variables {
    route53_provider = "cf"
  }
  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_secrets_without_content" {
  command = plan
  variables {
    secret_files = ["ca.pem", "host.pem", "host.key", "cf"]
  }
  expect_failures = [var.secrets]
}

run "refuses_bad_variables" {
  command = plan
  variables {
    region       = "EU"
    aws_region   = "eu-west-1a"
    members      = { eu-west = "veer.example.org", us-east = "10.1.1.10" }
    subnet_id    = "vpc-1"
    release      = { url = "http://example.org/veer", sha256 = "abc" }
    role         = "leader"
    files        = { "../passwd" = "" }
    dns_cidrs    = ["anywhere"]
    client_cidrs = ["10.0.0.0"]
    architecture = "amd64"
    volume_gib   = 4
    kms_key_arn  = "alias/veer"

    secrets_version = 0
  }
  expect_failures = [
    var.region, var.aws_region, var.members, var.subnet_id, var.release, var.role, var.files,
    var.dns_cidrs, var.client_cidrs, var.architecture, var.volume_gib, var.kms_key_arn, var.secrets_version,
  ]
}

run "refuses_a_config_with_a_host" {
  command = plan
  variables {
    config = "{owner: shop, host: {region: eu-west}}"
  }
  expect_failures = [var.config]
}

run "a_region_with_a_long_name" {
  command = plan
  variables {
    region       = "a-very-long-name-for-a-region-which-is-allowed-in-veer-yaml"
    members      = {}
    secret_files = []
    secrets      = {}

    route53_provider = null

    config = "{owner: shop, regions: [a-very-long-name-for-a-region-which-is-allowed-in-veer-yaml]}"
  }
  assert {
    condition     = length(aws_iam_role.host.name_prefix) <= 38
    error_message = "AWS refuses a role's prefix above 38 characters."
  }
}
