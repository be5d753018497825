# What the other modules need of a veer.yaml. Veer checks the file itself, much
# more strictly, before it uses it; here only what cannot be right is refused.

terraform {
  required_version = ">= 1.11"
}

variable "yaml" {
  description = "The text of veer.yaml."
  type        = string

  validation {
    condition     = can(yamldecode(var.yaml))
    error_message = "The configuration is no YAML. Check it with: veer validate -c veer.yaml"
  }
}

variable "region" {
  description = "The region or vantage that is asked for."
  type        = string
}

variable "route53_provider" {
  description = "The name of the provider of kind route53 that is asked for; null: none."
  type        = string
  default     = null
}

locals {
  config   = yamldecode(var.yaml)
  vantages = [for v in try(local.config.vantages, local.config.regions, []) : v]
  regions  = distinct(concat([for r in try(local.config.regions, []) : r], local.vantages))
  members  = tomap({ for name, m in try(local.config.cluster.members, {}) : name => try(regex("^https?://\\[?([0-9A-Za-z.:-]+?)\\]?:[0-9]+/?$", m.peer)[0], "") })

  asked    = var.route53_provider == null ? "" : var.route53_provider
  provider = try(local.config.providers[local.asked], null)
  zones    = [for z in try(local.provider.zones, []) : { name = trimsuffix(lower(z.name), "."), id = try(z.id, "") }]
  services = [
    for s in try(local.config.services, []) : {
      name      = trimsuffix(lower(s.name), ".")
      endpoints = concat(flatten([for p in try(s.pools, []) : try(p.endpoints, [])]), flatten([try(s.fallback, [])]))
    }
    if contains(try(s.providers, [local.asked]), local.asked) && anytrue([
      for z in local.zones : trimsuffix(lower(s.name), ".") == z.name || endswith(trimsuffix(lower(s.name), "."), ".${z.name}")
    ])
  ]
  # The type of an endpoint's record: as Veer tells it from the address.
  found = [
    for e in flatten(local.services[*].endpoints) :
    length(regexall(":", e)) > 0 ? "AAAA" : length(regexall("^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$", e)) > 0 ? "A" : "CNAME"
  ]
  # A host that the config lists under aliases is answered by alias records.
  aliased = contains(local.found, "CNAME") ? flatten([for a in values(try(local.provider.aliases, {})) : try(a.types, ["A", "AAAA"])]) : []
}

output "owner" {
  description = "owner of the file."
  value       = try(local.config.owner, "")
}

output "regions" {
  description = "Its regions and vantages."
  value       = local.regions
}

output "known" {
  description = "Whether it lists the region that is asked for."
  value       = contains(local.regions, var.region)
}

output "members" {
  description = "The hosts in the peer URLs of cluster.members, by region."
  value       = local.members
}

output "endpoints" {
  description = "Its cluster.endpoints."
  value       = [for e in try(local.config.cluster.endpoints, []) : e]
}

output "schedule" {
  description = "Its schedule, or null."
  value       = try(local.config.schedule, null)
}

output "position" {
  description = "Where the region stands in the list, from 0."
  value       = try(index(local.regions, var.region), 0)
}

output "route53" {
  description = "Of the provider of kind route53: whether it is there, its zones, and the names and types of the services in them."
  value = {
    found = try(local.provider.kind, "") == "route53"
    zones = local.zones
    names = local.services[*].name
    types = distinct(concat(local.found, local.aliased))
  }
}
