# The least IAM policy with which Veer steers names in Route 53: what
# `veer iam-policy` prints. policy.json is that command's own output for one zone
# and one name; its statements are taken from there, so that the actions,
# conditions and names of Veer's records have one source, the command. Tests
# compare the file, and what is made of it, with the command.

terraform {
  required_version = ">= 1.11"
}

variable "owner" {
  description = "owner of veer.yaml."
  type        = string
}

variable "zones" {
  description = "The hosted zones, in the order of veer.yaml."
  type        = list(object({ name = string, id = string }))

  validation {
    condition     = alltrue([for z in var.zones : can(regex("^Z[0-9A-Z]{1,31}$", z.id))])
    error_message = "Each zone of the provider needs its hosted zone id in veer.yaml, as in {name: example.org, id: Z0123456789ABCDEFGHIJ}: a policy for a zone that is not known cannot be made."
  }
}

variable "names" {
  description = "The names that Veer steers."
  type        = list(string)

  validation {
    condition     = alltrue([for n in var.names : can(regex("^[0-9A-Za-z_.-]+$", n))])
    error_message = "A name has letters of ASCII, digits, - and _; write others in Punycode (xn--...). A wildcard is no service."
  }
}

variable "types" {
  description = "The types of their answers: A, AAAA, CNAME."
  type        = list(string)

  validation {
    condition     = alltrue([for t in var.types : contains(["A", "AAAA", "CNAME"], t)])
    error_message = "types holds A, AAAA or CNAME."
  }
}

variable "read_only" {
  description = "Make the policy for reading alone, as veer plan needs it."
  type        = bool
  default     = false
}

variable "partition" {
  description = "The part of AWS: aws, aws-cn, aws-us-gov."
  type        = string
  default     = "aws"
}

locals {
  model     = jsondecode(file("${path.module}/policy.json"))
  write     = one([for s in local.model.Statement : s if startswith(s.Sid, "VeerWrite")])
  read      = one([for s in local.model.Statement : s if s.Sid == "VeerRead"])
  follow    = one([for s in local.model.Statement : s if s.Sid == "VeerFollow"])
  operator  = keys(local.write.Condition)[0]
  condition = local.write.Condition[local.operator]
  key_names = one([for k in keys(local.condition) : k if endswith(k, "NormalizedRecordNames")])
  key_types = one([for k in keys(local.condition) : k if endswith(k, "RecordTypes")])

  # The names of the model are those of one zone and of one service in it.
  of_zone    = [for n in local.condition[local.key_names] : n if strcontains(n, "the-owner")]
  of_service = [for n in local.condition[local.key_names] : n if strcontains(n, "the-service")]

  arns  = { for z in var.zones : z.name => replace(replace(local.write.Resource[0], "Z0000000000000000000", z.id), "arn:aws:", "arn:${var.partition}:") }
  names = [for n in var.names : trimsuffix(lower(n), ".")]
  # Each name belongs to the longest zone that it is in.
  zone_of = {
    for n in local.names : n => try(split(" ", reverse(sort([
      for z in var.zones : format("%04d %s", length(z.name), z.name) if n == z.name || endswith(n, ".${z.name}")
    ]))[0])[1], "")
  }
  in_zone = {
    for z in var.zones : z.name => distinct(sort(concat(
      [for n in local.of_zone : replace(replace(n, "the-owner", var.owner), "the-zone.invalid", z.name)],
      flatten([
        for n in local.names : [
          for m in local.of_service : replace(m, "the-service.the-zone.invalid", n)
        ] if z.name == local.zone_of[n]
      ])
    )))
  }
  writes = [
    for i, z in var.zones : {
      Sid      = "VeerWrite${i}"
      Effect   = local.write.Effect
      Action   = local.write.Action
      Resource = [local.arns[z.name]]
      Condition = {
        (local.operator) = merge(local.condition, {
          (local.key_names) = local.in_zone[z.name]
          (local.key_types) = sort(distinct(concat(["TXT"], var.types)))
        })
      }
    }
  ]
  reads   = [merge(local.read, { Resource = [for z in var.zones : local.arns[z.name]] })]
  follows = [merge(local.follow, { Resource = [for r in local.follow.Resource : replace(r, "arn:aws:", "arn:${var.partition}:")] })]
}

output "json" {
  description = "The policy."
  value = jsonencode({
    Version = local.model.Version
    Statement = [
      for s in concat(local.writes, local.reads, local.follows) : s if !var.read_only || s.Sid == "VeerRead"
    ]
  })
}
