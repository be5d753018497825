# One region's Veer: a host with a fixed private address, what it may do, and
# what it reads at its start and once an hour.

module "config" {
  source = "../internal/config"

  yaml             = var.config
  region           = var.region
  route53_provider = var.route53_provider
}

data "aws_partition" "here" {}

data "aws_caller_identity" "here" {}

data "aws_subnet" "host" {
  region = var.aws_region
  id     = var.subnet_id
}

data "aws_ssm_parameter" "ami" {
  count  = var.ami_id == null ? 1 : 0
  region = var.aws_region
  name   = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"
}

locals {
  name   = "veer-${var.region}"
  prefix = "/veer/${module.config.owner}/${var.region}"
  tags   = merge({ Name = local.name, "veer:region" = var.region }, var.tags)

  account = data.aws_caller_identity.here.account_id
  aws     = data.aws_partition.here.partition
  # Every parameter of this host and no other.
  parameters_arn = "arn:${local.aws}:ssm:${var.aws_region}:${local.account}:parameter${local.prefix}"

  update_at = var.update_at != null ? var.update_at : format("*-*-* *:%02d:00", floor(module.config.position * 60 / max(length(module.config.regions), 1)) % 60)
  # The host's own part of the configuration.
  host = merge(
    { region = var.region, data_dir = "/var/lib/veer" },
    contains(var.secret_files, "host.key") ? { tls = { ca_file = "secrets/ca.pem", cert_file = "secrets/host.pem", key_file = "secrets/host.key" } } : {},
  )
}

# --- what the host reads -----------------------------------------------------

resource "aws_ssm_parameter" "config" {
  region      = var.aws_region
  name        = "${local.prefix}/config"
  description = "veer.yaml of Veer in ${var.region}, gzipped, in base64"
  type        = "String"
  tier        = "Intelligent-Tiering"
  value       = base64gzip(var.config)
  tags        = local.tags

  lifecycle {
    precondition {
      condition     = module.config.known
      error_message = "veer.yaml lists no region or vantage ${var.region}. It has: ${join(", ", module.config.regions)}."
    }
    precondition {
      condition     = jsonencode(module.config.members) == jsonencode(var.members)
      error_message = "cluster.members in veer.yaml and the variable members differ. In veer.yaml: ${jsonencode(module.config.members)}; in members: ${jsonencode(var.members)}."
    }
    precondition {
      condition     = length(var.members) < 2 || !contains(keys(var.members), var.region) || length(setsubtract(["ca.pem", "host.pem", "host.key"], var.secret_files)) == 0
      error_message = "A member of several needs a certificate: secret_files must have ca.pem, host.pem and host.key. Make them with: veer certs init, veer certs issue ${var.region}"
    }
    precondition {
      condition     = var.route53_provider == null || module.config.route53.found
      error_message = "veer.yaml has no provider of kind route53 that is named ${coalesce(var.route53_provider, "-")}."
    }
  }
}

resource "aws_ssm_parameter" "host" {
  region      = var.aws_region
  name        = "${local.prefix}/host"
  description = "host.yaml of Veer in ${var.region}"
  type        = "String"
  value       = yamlencode(local.host)
  tags        = local.tags
}

resource "aws_ssm_parameter" "release" {
  region      = var.aws_region
  name        = "${local.prefix}/release"
  description = "SHA-256 and address of the veer that runs in ${var.region}"
  type        = "String"
  value       = "${var.release.sha256} ${var.release.url}"
  tags        = local.tags
}

resource "aws_ssm_parameter" "file" {
  for_each = var.files

  region      = var.aws_region
  name        = "${local.prefix}/files/${each.key}"
  description = "${each.key} of Veer in ${var.region}, gzipped, in base64"
  type        = "String"
  tier        = "Intelligent-Tiering"
  value       = base64gzip(each.value)
  tags        = local.tags
}

resource "aws_ssm_parameter" "secret" {
  for_each = var.secret_files

  region           = var.aws_region
  name             = "${local.prefix}/secrets/${each.key}"
  description      = "${each.key} of Veer in ${var.region}"
  type             = "SecureString"
  tier             = "Intelligent-Tiering"
  key_id           = var.kms_key_arn
  value_wo         = var.secrets[each.key]
  value_wo_version = var.secrets_version
  tags             = local.tags
}

# --- what it may do ----------------------------------------------------------

resource "aws_iam_role" "host" {
  name_prefix          = "${substr(local.name, 0, 37)}-" # at most 38 characters
  description          = "Veer in ${var.region}"
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_instance_profile" "host" {
  name_prefix = "${local.name}-"
  role        = aws_iam_role.host.name
  tags        = local.tags
}

resource "aws_iam_role_policy" "read" {
  name_prefix = "read-"
  role        = aws_iam_role.host.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "OwnParameters"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter", "ssm:GetParametersByPath"]
        Resource = [local.parameters_arn, "${local.parameters_arn}/*"]
      }],
      var.kms_key_arn == null ? [] : [{
        Sid      = "DecryptOwnParameters"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [var.kms_key_arn]
      }],
      startswith(var.release.url, "s3://") ? [{
        Sid      = "ReadRelease"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["arn:${local.aws}:s3:::${trimprefix(var.release.url, "s3://")}"]
      }] : [],
    )
  })
}

module "policy" {
  source = "../internal/route53-policy"
  count  = var.route53_provider == null ? 0 : 1

  owner     = module.config.owner
  zones     = module.config.route53.zones
  names     = module.config.route53.names
  types     = module.config.route53.types
  partition = local.aws
}

resource "aws_iam_role_policy" "route53" {
  count = var.route53_provider == null ? 0 : 1

  name_prefix = "route53-"
  role        = aws_iam_role.host.id
  policy      = module.policy[0].json
}

# --- who may reach it --------------------------------------------------------

resource "aws_security_group" "host" {
  region                 = var.aws_region
  name_prefix            = "${local.name}-"
  description            = "Veer in ${var.region}"
  vpc_id                 = data.aws_subnet.host.vpc_id
  revoke_rules_on_delete = true
  tags                   = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  member = contains(keys(var.members), var.region)
  others = { for region, ip in var.members : region => "${ip}/32" if region != var.region }
  # Members reach each other on both ports, all others the client port alone.
  peer_rules = local.member ? merge(
    { for region, cidr in local.others : "${region}-peer" => { cidr = cidr, port = var.peer_port, protocol = "tcp", why = "etcd member ${region}" } },
    { for region, cidr in local.others : "${region}-client" => { cidr = cidr, port = var.client_port, protocol = "tcp", why = "etcd client ${region}" } },
    { for cidr in var.client_cidrs : "client-${cidr}" => { cidr = cidr, port = var.client_port, protocol = "tcp", why = "etcd clients" } },
  ) : {}
  dns_rules = {
    for pair in setproduct(var.dns_cidrs, ["udp", "tcp"]) : "dns-${pair[1]}-${pair[0]}" => { cidr = pair[0], port = 53, protocol = pair[1], why = "DNS over ${pair[1]}" }
  }
}

resource "aws_vpc_security_group_ingress_rule" "host" {
  for_each = merge(local.peer_rules, local.dns_rules)

  region            = var.aws_region
  security_group_id = aws_security_group.host.id
  description       = each.value.why
  ip_protocol       = each.value.protocol
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = strcontains(each.value.cidr, ":") ? null : each.value.cidr
  cidr_ipv6         = strcontains(each.value.cidr, ":") ? each.value.cidr : null
  tags              = local.tags
}

# It probes what the config says, anywhere.
resource "aws_vpc_security_group_egress_rule" "host" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  region            = var.aws_region
  security_group_id = aws_security_group.host.id
  description       = "probes, providers, other members"
  ip_protocol       = "-1"
  cidr_ipv4         = each.key == "ipv4" ? each.value : null
  cidr_ipv6         = each.key == "ipv6" ? each.value : null
  tags              = local.tags
}

# --- the host ----------------------------------------------------------------

# The address outlives the host: one that is replaced rejoins as the same member,
# with an empty folder.
resource "aws_network_interface" "host" {
  region          = var.aws_region
  subnet_id       = var.subnet_id
  description     = "Veer in ${var.region}"
  private_ips     = local.member ? [var.members[var.region]] : null
  security_groups = [aws_security_group.host.id]
  tags            = local.tags
}

resource "aws_eip" "host" {
  count = var.public_ip ? 1 : 0

  region            = var.aws_region
  domain            = "vpc"
  network_interface = aws_network_interface.host.id
  tags              = local.tags
}

locals {
  user_data = templatefile("${path.module}/user-data.sh.tftpl", {
    region     = var.region
    aws_region = var.aws_region
    prefix     = local.prefix
    role       = var.role
    update_at  = local.update_at
    members    = length(var.members)
    update     = file("${path.module}/veer-update.sh")
    unit       = file("${path.module}/../../files/veer.service")
  })
}

resource "aws_instance" "host" {
  region               = var.aws_region
  ami                  = var.ami_id != null ? var.ami_id : data.aws_ssm_parameter.ami[0].insecure_value
  instance_type        = var.instance_type
  iam_instance_profile = aws_iam_instance_profile.host.name
  user_data            = local.user_data
  tags                 = local.tags
  volume_tags          = local.tags

  primary_network_interface {
    network_interface_id = aws_network_interface.host.id
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  maintenance_options {
    auto_recovery = "default"
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = var.volume_gib
    encrypted   = true
    kms_key_id  = var.kms_key_arn
  }

  # At its start it reads its parameters, with these rights.
  depends_on = [
    aws_ssm_parameter.config, aws_ssm_parameter.host, aws_ssm_parameter.release,
    aws_ssm_parameter.file, aws_ssm_parameter.secret,
    aws_iam_role_policy.read, aws_vpc_security_group_egress_rule.host, aws_eip.host,
  ]

  lifecycle {
    # A new image, or another start script, would replace or stop every region at
    # once. What changes while it runs is in SSM; to replace a host, one region
    # after the other: terraform apply -replace='module.….aws_instance.host'
    ignore_changes = [ami, user_data]
  }
}
