# Three regions that serve. Veer itself answers for one zone, on port 53 of three
# public addresses, and writes another one at Cloudflare.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.20"
    }
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.14"
    }
  }
}

provider "aws" {
  region = values(var.places)[0].aws_region
}

provider "cloudflare" {} # CLOUDFLARE_API_TOKEN

locals {
  owner   = "shop"
  members = { for name, p in var.places : name => p.private_ip }

  config = templatefile("${path.module}/veer.yaml.tftpl", {
    owner      = local.owner
    members    = local.members
    zone       = var.zone
    cloudflare = yamlencode(merge(module.cloudflare.provider, { token_file = "secrets/cloudflare" }))
    cf_zone    = var.cloudflare_zone
    endpoints  = var.endpoints
  })
}

module "cloudflare" {
  source = "../../modules/cloudflare-zone"

  name       = var.cloudflare_zone
  account_id = var.cloudflare_account_id
  owner      = local.owner
}

module "region" {
  source   = "../../modules/aws-region"
  for_each = var.places

  region     = each.key
  aws_region = each.value.aws_region
  subnet_id  = each.value.subnet_id
  config     = local.config
  files      = { "${var.zone}.zone" = var.zone_file }
  members    = local.members
  release    = var.release
  public_ip  = true
  dns_cidrs  = ["0.0.0.0/0", "::/0"]

  secret_files    = ["ca.pem", "host.pem", "host.key", "cloudflare"]
  secrets_version = var.secrets_version
  secrets = {
    "ca.pem"   = file("${var.certificates}/ca.pem")
    "host.pem" = file("${var.certificates}/${each.key}.pem")
    "host.key" = file("${var.certificates}/${each.key}.key")
    cloudflare = var.cloudflare_token
  }
}
