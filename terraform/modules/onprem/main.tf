# Veer on hosts that exist, over SSH. What is new is brought to all hosts at once
# and checked there; then it is taken into use, one region after the other, and
# the roll stops at the first that does not get well.

module "config" {
  source = "../internal/config"

  yaml   = var.config
  region = keys(var.hosts)[0]
}

locals {
  # In the order of the config; what it does not list comes last, and is refused.
  order   = concat([for r in module.config.regions : r if contains(keys(var.hosts), r)], [for r in keys(var.hosts) : r if !contains(module.config.regions, r)])
  members = length(module.config.members)

  kind = endswith(var.package, ".deb") ? "deb" : endswith(var.package, ".rpm") ? "rpm" : "binary"

  host_yaml = {
    for region, h in var.hosts : region => yamlencode(merge(
      { region = region, data_dir = "/var/lib/veer" },
      h.key_file == null ? {} : { tls = { ca_file = "secrets/ca.pem", cert_file = "secrets/host.pem", key_file = "secrets/host.key" } },
    ))
  }
  # What a host runs. Keys and secrets are not in it, see secrets_version.
  hash = {
    for region, h in var.hosts : region => sha256(jsonencode([
      filesha256(var.package), local.kind, var.config, local.host_yaml[region], h.role, var.files, keys(var.secret_files), var.secrets_version, local.unit,
      local.script,
      h.cert_file == null ? "" : filesha256(h.cert_file), h.ca_file == null ? "" : filesha256(h.ca_file),
    ]))
  }
  unit   = file("${path.module}/../../files/veer.service")
  script = file("${path.module}/files/host.sh")

  targets = { for region, h in var.hosts : region => { address = h.address, user = h.user, port = h.port } }
}

# One for each host: what reaches it, and how it is left. The destroy provisioner
# sees nothing but what is in here.
resource "terraform_data" "host" {
  for_each = local.targets

  input = {
    region      = each.key
    target      = each.value
    ssh_options = var.ssh_options
    remove_data = var.remove_data
    scripts     = "${path.module}/files"
  }
  triggers_replace = each.value

  lifecycle {
    precondition {
      condition     = contains(module.config.regions, each.key)
      error_message = "veer.yaml lists no region or vantage ${each.key}. It has: ${join(", ", module.config.regions)}."
    }
    precondition {
      condition     = local.members < 2 || !contains(keys(module.config.members), each.key) || var.hosts[each.key].key_file != null
      error_message = "${each.key} is a member of several and needs a certificate: set ca_file, cert_file and key_file of its host. Make them with: veer certs init, veer certs issue ${each.key}"
    }
  }

  provisioner "local-exec" {
    when    = destroy
    command = "bash \"$SCRIPTS/remove.sh\""
    environment = {
      SCRIPTS     = self.output.scripts
      REGION      = self.output.region
      HOSTS       = "${self.output.region} ${self.output.target.address} ${self.output.target.port} ${self.output.target.user}"
      SSH_OPTIONS = join("\n", self.output.ssh_options)
      REMOVE_DATA = self.output.remove_data ? "yes" : "no"
    }
  }
}

# Brings what is new to the host, and has it checked there. Nothing that runs is
# touched.
resource "terraform_data" "stage" {
  for_each = var.hosts

  triggers_replace = [local.hash[each.key], terraform_data.host[each.key].id]

  provisioner "local-exec" {
    command = "bash \"$SCRIPTS/stage.sh\""
    environment = merge(
      {
        SCRIPTS     = "${path.module}/files"
        REGION      = each.key
        HOSTS       = "${each.key} ${each.value.address} ${each.value.port} ${each.value.user}"
        SSH_OPTIONS = join("\n", var.ssh_options)
        HASH        = local.hash[each.key]
        ROLE        = each.value.role
        MEMBERS     = local.members
        KIND        = local.kind
        PACKAGE     = var.package
        VEER_YAML   = base64encode(var.config)
        HOST_YAML   = base64encode(local.host_yaml[each.key])
        UNIT        = base64encode(local.unit)
        # Names, and paths on this machine, one a line.
        SECRETS = join("\n", concat(
          [for name, path in var.secret_files : "${name} ${path}"],
          each.value.key_file == null ? [] : ["ca.pem ${each.value.ca_file}", "host.pem ${each.value.cert_file}", "host.key ${each.value.key_file}"],
        ))
        FILES = join("\n", [for name, text in var.files : "${name} ${base64encode(text)}"])
      },
    )
  }
}

resource "terraform_data" "roll" {
  triggers_replace = [for region in local.order : [region, local.hash[region], terraform_data.stage[region].id]]

  provisioner "local-exec" {
    command = "bash \"$SCRIPTS/roll.sh\""
    environment = {
      SCRIPTS     = "${path.module}/files"
      HOSTS       = join("\n", [for r in local.order : "${r} ${var.hosts[r].address} ${var.hosts[r].port} ${var.hosts[r].user}"])
      SSH_OPTIONS = join("\n", var.ssh_options)
      PATIENCE    = var.health_timeout
      FORCE       = var.force ? "yes" : "no"
    }
  }
}
