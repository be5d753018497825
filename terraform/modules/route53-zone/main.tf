# A hosted zone for Veer, and the least rights to write it. The records in it are
# Veer's and yours; Terraform manages none of them.

data "aws_partition" "here" {}

resource "aws_route53_zone" "this" {
  count = var.create ? 1 : 0

  name          = var.name
  comment       = var.comment
  force_destroy = var.force_destroy
  tags          = var.tags

  dynamic "vpc" {
    for_each = var.vpc_ids
    content {
      vpc_region = vpc.key
      vpc_id     = vpc.value
    }
  }

  lifecycle {
    precondition {
      condition     = var.parent_zone_id == null || length(var.vpc_ids) == 0
      error_message = "A private zone is not delegated: leave parent_zone_id out."
    }
  }
}

data "aws_route53_zone" "this" {
  count = var.create ? 0 : 1

  name         = var.name
  private_zone = length(var.vpc_ids) > 0
  vpc_id       = length(var.vpc_ids) > 0 ? values(var.vpc_ids)[0] : null
}

locals {
  zone_id      = var.create ? aws_route53_zone.this[0].zone_id : data.aws_route53_zone.this[0].zone_id
  name_servers = var.create ? aws_route53_zone.this[0].name_servers : data.aws_route53_zone.this[0].name_servers
}

resource "aws_route53_record" "delegation" {
  count = var.create && var.parent_zone_id != null ? 1 : 0

  zone_id = var.parent_zone_id
  name    = var.name
  type    = "NS"
  ttl     = 3600
  records = local.name_servers
}

module "policy" {
  source   = "../internal/route53-policy"
  for_each = { write = false, read = true }

  owner     = var.owner
  zones     = [{ name = var.name, id = local.zone_id }]
  names     = keys(var.services)
  types     = distinct(flatten([for types in values(var.services) : tolist(types)]))
  read_only = each.value
  partition = data.aws_partition.here.partition
}
