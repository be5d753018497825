# No daemon: veer once as a task of ECS in two regions and at a witness, every
# minute, on an etcd that exists. The answers are in Route 53.

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
  config = templatefile("${path.module}/veer.yaml.tftpl", {
    etcd      = var.etcd
    zone      = var.zone
    zone_id   = module.zone.zone_id
    endpoints = var.endpoints
  })
}

module "zone" {
  source = "../../modules/route53-zone"

  name     = var.zone
  create   = false
  owner    = "shop"
  services = { "app.${var.zone}" = ["A"] }
}

module "passes" {
  source   = "../../modules/aws-scheduled"
  for_each = var.places

  region           = each.key
  aws_region       = each.value.aws_region
  vpc_id           = each.value.vpc_id
  subnet_ids       = each.value.subnet_ids
  config           = local.config
  image            = var.image
  init_image       = var.init_image
  route53_provider = "aws"

  secret_files    = ["ca.pem", "host.pem", "host.key"]
  secrets_version = var.secrets_version
  secrets = {
    "ca.pem"   = file("${var.certificates}/ca.pem")
    "host.pem" = file("${var.certificates}/${each.key}.pem")
    "host.key" = file("${var.certificates}/${each.key}.key")
  }
}
