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

variables {
  release      = { url = "https://releases.example.org/veer-linux-arm64", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  certificates = "tests/certificates"
}

# Planned first with a zone whose id nobody knows yet.
run "plan" {
  command = plan
}

run "apply" {
  command = apply

  assert {
    condition     = strcontains(output.config, "id: Z0123456789ABCDEFGHIJ")
    error_message = "veer.yaml does not name the zone that was made."
  }
  assert {
    condition     = length(distinct(values(output.update_at))) == 3
    error_message = "Two regions would restart at the same time."
  }
}
