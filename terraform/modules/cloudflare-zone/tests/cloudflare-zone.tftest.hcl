mock_provider "cloudflare" {
  mock_resource "cloudflare_zone" {
    defaults = { id = "0123456789abcdef0123456789abcdef", name_servers = ["a.example.com", "b.example.com"] }
  }
  mock_data "cloudflare_zone" {
    defaults = { zone_id = "fedcba9876543210fedcba9876543210", name_servers = ["c.example.com"] }
  }
  mock_data "cloudflare_api_token_permission_groups_list" {
    defaults = {
      result = [
        { id = "11111111111111111111111111111111", name = "DNS Read", scopes = ["com.cloudflare.api.account.zone"] },
        { id = "22222222222222222222222222222222", name = "DNS Write", scopes = ["com.cloudflare.api.account.zone"] },
      ]
    }
  }
}

variables {
  name       = "example.net"
  account_id = "0123456789abcdef0123456789abcde0"
  owner      = "shop"
}

run "a_zone_without_a_token" {
  command = apply

  assert {
    condition     = output.provider == { kind = "cloudflare", plan = "free", zones = [{ name = "example.net", id = "0123456789abcdef0123456789abcdef" }] }
    error_message = "The provider for veer.yaml is not that of the zone."
  }
  assert {
    condition     = length(cloudflare_api_token.veer) == 0 && output.token == null
    error_message = "A token was made without being asked for, and is in the state."
  }
  assert {
    condition     = output.token_policy == { effect = "allow", permission = "DNS Write", resources = { "com.cloudflare.api.account.zone.0123456789abcdef0123456789abcdef" = "*" } }
    error_message = "The scopes are not those of this zone alone."
  }
}

run "a_token_for_this_zone_alone" {
  command = apply
  variables {
    token       = "write"
    token_cidrs = ["203.0.113.10/32"]
  }
  assert {
    condition     = [for p in cloudflare_api_token.veer[0].policies : [p.effect, p.resources, [for g in p.permission_groups : g.id]]] == [["allow", "{\"com.cloudflare.api.account.zone.0123456789abcdef0123456789abcdef\":\"*\"}", ["22222222222222222222222222222222"]]]
    error_message = "The token is allowed something else than to edit this zone's records."
  }
  assert {
    condition     = cloudflare_api_token.veer[0].condition.request_ip.in == tolist(["203.0.113.10/32"])
    error_message = "The token works from anywhere."
  }
}

run "a_token_for_reading" {
  command = apply
  variables {
    token = "read"
  }
  assert {
    condition     = [for p in cloudflare_api_token.veer[0].policies : [for g in p.permission_groups : g.id]] == [["11111111111111111111111111111111"]]
    error_message = "The token may do more than read."
  }
  assert {
    condition     = cloudflare_api_token.veer[0].condition == null
    error_message = "There is a condition that nobody asked for."
  }
}

run "a_zone_that_exists" {
  command = apply
  variables {
    create = false
    plan   = "enterprise"
  }
  assert {
    condition     = output.zone_id == "fedcba9876543210fedcba9876543210" && length(cloudflare_zone.this) == 0 && output.provider.plan == "enterprise"
    error_message = "The zone was made, or is not the one that was found."
  }
}

run "refuses_to_guess_a_permission" {
  command = plan
  variables {
    token = "write"
  }
  override_data {
    target = data.cloudflare_api_token_permission_groups_list.dns
    values = { result = [] }
  }
  expect_failures = [cloudflare_api_token.veer]
}

run "refuses_bad_variables" {
  command = plan
  variables {
    name             = "net"
    account_id       = "me"
    plan             = "gratis"
    owner            = "Shop Inc"
    token            = "admin"
    token_cidrs      = ["here"]
    token_expires_on = "tomorrow"
  }
  expect_failures = [var.name, var.account_id, var.plan, var.owner, var.token, var.token_cidrs, var.token_expires_on]
}
