# Three hosts of your own, over SSH. Veer answers for the zone itself.

terraform {
  required_version = ">= 1.11"
}

locals {
  config = templatefile("${path.module}/veer.yaml.tftpl", {
    zone      = var.zone
    hosts     = var.hosts
    endpoints = var.endpoints
  })
}

module "veer" {
  source = "../../modules/onprem"

  config          = local.config
  package         = var.package
  ssh_options     = var.ssh_options
  secrets_version = var.secrets_version
  files           = { "${var.zone}.zone" = file("${path.module}/zone") }

  hosts = {
    for region, address in var.hosts : region => {
      address   = address
      user      = var.user
      ca_file   = "${var.certificates}/ca.pem"
      cert_file = "${var.certificates}/${region}.pem"
      key_file  = "${var.certificates}/${region}.key"
    }
  }
}
