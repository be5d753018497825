mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_route53_zone" {
    defaults = { zone_id = "Z0123456789ABCDEFGHIJ", name_servers = ["ns-1.example.net", "ns-2.example.net"] }
  }
  mock_data "aws_route53_zone" {
    defaults = { zone_id = "Z9999999999ABCDEFGHIJ", name_servers = ["ns-9.example.net"] }
  }
}

variables {
  name     = "example.org"
  owner    = "shop"
  services = { "app.example.org" = ["A", "AAAA"] }
}

run "a_new_zone" {
  command = apply

  assert {
    condition     = output.zone_id == "Z0123456789ABCDEFGHIJ" && length(aws_route53_record.delegation) == 0
    error_message = "The zone is another one, or was delegated without being asked to."
  }
  assert {
    condition     = output.provider == { kind = "route53", zones = [{ name = "example.org", id = "Z0123456789ABCDEFGHIJ" }] }
    error_message = "The provider for veer.yaml is not that of the zone."
  }
  assert {
    condition = jsondecode(output.policy).Statement[0].Condition["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsNormalizedRecordNames"] == [
      "_veer-fence.shop.example.org", "_veer-proof.shop.example.org", "_veer-scratch.shop.example.org",
      "_veer.app.example.org", "app.example.org",
    ]
    error_message = "The policy allows other names than the services', their marks, and the fence's."
  }
  assert {
    condition     = [for s in jsondecode(output.read_only_policy).Statement : s.Action[0]] == ["route53:ListResourceRecordSets"]
    error_message = "The read-only policy allows more than listing."
  }
}

run "delegated_by_its_parent" {
  command = apply
  variables {
    name           = "veer.example.org"
    services       = {}
    parent_zone_id = "Z00000000000000PARENT"
  }
  assert {
    condition     = aws_route53_record.delegation[0].records == toset(["ns-1.example.net", "ns-2.example.net"]) && aws_route53_record.delegation[0].type == "NS"
    error_message = "The delegation does not name the zone's servers."
  }
}

run "a_zone_that_exists" {
  command = apply
  variables {
    create = false
  }
  assert {
    condition     = output.zone_id == "Z9999999999ABCDEFGHIJ" && length(aws_route53_zone.this) == 0
    error_message = "The zone was made, or is not the one that was found."
  }
}

run "a_private_zone" {
  command = plan
  variables {
    vpc_ids = { eu-west-1 = "vpc-0123456789abcdef0" }
  }
  assert {
    condition     = [for v in aws_route53_zone.this[0].vpc : v.vpc_id] == ["vpc-0123456789abcdef0"]
    error_message = "The zone is not private to the VPC."
  }
}

run "refuses_to_delegate_a_private_zone" {
  command = plan
  variables {
    vpc_ids        = { eu-west-1 = "vpc-0123456789abcdef0" }
    parent_zone_id = "Z00000000000000PARENT"
  }
  expect_failures = [aws_route53_zone.this]
}

run "refuses_bad_variables" {
  command = plan
  variables {
    name    = "Example.org."
    owner   = "Shop Inc"
    vpc_ids = { eu-west-1a = "vpc-1" }
  }
  expect_failures = [var.name, var.owner, var.vpc_ids]
}

run "refuses_a_service_of_another_zone" {
  command = plan
  variables {
    services = { "app.example.net" = ["A"] }
  }
  expect_failures = [var.services]
}

run "refuses_a_service_of_another_type" {
  command = plan
  variables {
    services = { "app.example.org" = ["MX"] }
  }
  expect_failures = [var.services]
}
