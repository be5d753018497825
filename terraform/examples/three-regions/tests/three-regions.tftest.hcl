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
  mock_resource "aws_route53_zone" {
    defaults = { zone_id = "Z0123456789ABCDEFGHIJ" }
  }
}

mock_provider "cloudflare" {
  mock_resource "cloudflare_zone" {
    defaults = { id = "0123456789abcdef0123456789abcdef", name_servers = ["a.example.com", "b.example.com"] }
  }
}

variables {
  release      = { url = "https://releases.example.org/veer-linux-arm64", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  certificates = "tests/certificates"

  cloudflare_account_id = "0123456789abcdef0123456789abcde0"
  cloudflare_token      = "CANARY-cloudflare-token"
}

# Planned first with a zone whose id nobody knows yet.
run "plan" {
  command = plan
}

run "apply" {
  command = apply

  assert {
    condition     = strcontains(output.config, "0123456789abcdef0123456789abcdef")
    error_message = "veer.yaml does not name the zone that was made."
  }
  assert {
    condition     = length(output.name_servers) == 3
    error_message = "There are not three name servers."
  }
}
