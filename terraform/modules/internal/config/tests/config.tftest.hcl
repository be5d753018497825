variables {
  region           = "eu-west"
  route53_provider = "aws"
  yaml             = <<-YAML
    owner: shop
    regions: [eu-west, us-east]
    vantages: [eu-west, us-east, witness]
    cluster:
      members:
        eu-west: {peer: "https://10.0.1.10:2380", client: "https://10.0.1.10:2379"}
        us-east: {peer: "https://[2001:db8::10]:2380", client: "https://[2001:db8::10]:2379"}
    schedule: 5m
    providers:
      aws: {kind: route53, zones: [{name: Example.org., id: Z01}], aliases: {lb.example.com: {zone_id: Z9, types: [AAAA]}}}
      here: {kind: authority, zones: [{name: example.org}]}
    services:
      - {name: app.example.org, pools: [{region: eu-west, endpoints: [192.0.2.10, lb.example.com]}]}
      - {name: only.example.org, providers: [here], pools: [{region: eu-west, endpoints: ["2001:db8::1"]}]}
      - {name: example.net, pools: [{region: eu-west, endpoints: ["2001:db8::1"]}]}
  YAML
}

run "what_the_file_says" {
  command = plan
  assert {
    condition     = output.owner == "shop" && tolist(output.regions) == tolist(["eu-west", "us-east", "witness"]) && output.known && output.position == 0 && output.schedule == "5m"
    error_message = "Owner, regions or schedule are others."
  }
  assert {
    condition     = output.members == tomap({ eu-west = "10.0.1.10", us-east = "2001:db8::10" })
    error_message = "The members' addresses are others."
  }
  assert {
    condition     = output.route53.found && jsonencode(output.route53.names) == "[\"app.example.org\"]" && jsonencode(output.route53.zones) == jsonencode([{ name = "example.org", id = "Z01" }])
    error_message = "Services of other providers or zones count, or the provider's own do not."
  }
  assert {
    condition     = toset(output.route53.types) == toset(["A", "CNAME", "AAAA"])
    error_message = "The types are not those of the endpoints and aliases."
  }
}

run "an_unknown_region" {
  command = plan
  variables {
    region           = "mars"
    route53_provider = "here"
  }
  assert {
    condition     = !output.known && !output.route53.found
    error_message = "A region or provider that is not there was found."
  }
}

run "refuses_what_is_no_yaml" {
  command = plan
  variables {
    yaml = "{owner"
  }
  expect_failures = [var.yaml]
}
