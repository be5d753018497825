# A zone at Cloudflare for Veer, and a token with the rights that Veer needs in it
# and no more. The records in it are Veer's and yours; Terraform manages none.

resource "cloudflare_zone" "this" {
  count = var.create ? 1 : 0

  name = var.name
  type = "full"

  account = {
    id = var.account_id
  }
}

data "cloudflare_zone" "this" {
  count = var.create ? 0 : 1

  filter = {
    name    = var.name
    match   = "all"
    account = { id = var.account_id }
  }
}

locals {
  zone_id      = var.create ? cloudflare_zone.this[0].id : data.cloudflare_zone.this[0].zone_id
  name_servers = var.create ? cloudflare_zone.this[0].name_servers : data.cloudflare_zone.this[0].name_servers

  # Veer knows the zone by its id, so that it need not list zones.
  permission = var.token == "read" ? "DNS Read" : "DNS Write"
  resources  = { "com.cloudflare.api.account.zone.${local.zone_id}" = "*" }
}

# The groups' ids are the same for everybody, and not documented.
data "cloudflare_api_token_permission_groups_list" "dns" {
  count = var.token == "none" ? 0 : 1

  scope = "com.cloudflare.api.account.zone"
}

locals {
  groups = flatten([for l in data.cloudflare_api_token_permission_groups_list.dns : [for g in l.result : g.id if g.name == local.permission]])
}

resource "cloudflare_api_token" "veer" {
  count = var.token == "none" ? 0 : 1

  name       = "veer-${var.owner}-${var.name}"
  expires_on = var.token_expires_on

  policies = [{
    effect            = "allow"
    permission_groups = [for id in local.groups : { id = id }]
    resources         = jsonencode(local.resources)
  }]

  condition = length(var.token_cidrs) == 0 ? null : {
    request_ip = { in = var.token_cidrs }
  }

  lifecycle {
    precondition {
      condition     = length(local.groups) == 1
      error_message = "Cloudflare lists ${length(local.groups)} permission groups named ${local.permission} for zones, not one: make the token by hand."
    }
  }
}
