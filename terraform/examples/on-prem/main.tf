# Three hosts of your own, over SSH. Veer answers for the zone itself.

terraform {
  required_version = ">= 1.11"
}

locals {
  config  = file("${path.module}/veer.yaml")
  members = yamldecode(local.config).cluster.members
}

module "veer" {
  source = "../../modules/onprem"

  config          = local.config
  files           = { for name in fileset(path.module, "*.zone") : name => file("${path.module}/${name}") }
  package         = var.package
  ssh_options     = var.ssh_options
  secrets_version = var.secrets_version

  # Every host is a member, and is reached by SSH where the others reach it.
  hosts = {
    for region, member in local.members : region => {
      address   = regex("^https://\\[?(.+?)\\]?:[0-9]+$", member.peer)[0]
      user      = var.user
      ca_file   = "${var.certificates}/ca.pem"
      cert_file = "${var.certificates}/${region}.pem"
      key_file  = "${var.certificates}/${region}.key"
    }
  }
}
