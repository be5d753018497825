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
  mock_data "aws_route53_zone" {
    defaults = { zone_id = "Z0123456789ABCDEFGHIJ" }
  }
}

variables {
  certificates = "tests/certificates"
  image        = "registry.example.org/veer:1.0.0"
  init_image   = "registry.example.org/busybox:1.37"
}

run "plan" {
  command = plan
}

run "apply" {
  command = apply

  assert {
    condition     = strcontains(output.config, "id: Z0123456789ABCDEFGHIJ")
    error_message = "veer.yaml does not name the zone."
  }
}
