# Two regions that serve, a third that only votes, and the answers in Route 53.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.20"
    }
  }
}

provider "aws" {
  region = values(var.places)[0].aws_region
}

locals {
  owner   = "shop"
  service = "app.${var.zone}"

  # The same file everywhere; Terraform only fills in what differs between set-ups.
  config = templatefile("${path.module}/veer.yaml.tftpl", {
    owner     = local.owner
    service   = local.service
    zone      = var.zone
    zone_id   = module.zone.zone_id
    members   = { for name, p in var.places : name => p.private_ip }
    endpoints = var.endpoints
  })
}

module "zone" {
  source = "../../modules/route53-zone"

  name     = var.zone
  create   = var.create_zone
  owner    = local.owner
  services = { (local.service) = ["A"] }
}

module "region" {
  source   = "../../modules/aws-region"
  for_each = var.places

  region           = each.key
  aws_region       = each.value.aws_region
  subnet_id        = each.value.subnet_id
  role             = each.key == "witness" ? "witness" : "all"
  config           = local.config
  members          = { for name, p in var.places : name => p.private_ip }
  release          = var.release
  route53_provider = "aws"

  secret_files    = ["ca.pem", "host.pem", "host.key"]
  secrets_version = var.secrets_version
  secrets = {
    "ca.pem"   = file("${var.certificates}/ca.pem")
    "host.pem" = file("${var.certificates}/${each.key}.pem")
    "host.key" = file("${var.certificates}/${each.key}.key")
  }
}
