# veer once, every schedule: of veer.yaml, as a task of ECS (Fargate).

module "config" {
  source = "../internal/config"

  yaml             = var.config
  region           = var.region
  route53_provider = var.route53_provider
}

data "aws_partition" "here" {}

data "aws_caller_identity" "here" {}

locals {
  name    = substr("veer-once-${var.region}", 0, 64)
  role    = substr(local.name, 0, 31) # a role's prefix has at most 38 characters
  prefix  = "/veer/${module.config.owner}/${var.region}-once"
  tags    = merge({ Name = local.name, "veer:region" = var.region }, var.tags)
  account = data.aws_caller_identity.here.account_id
  aws     = data.aws_partition.here.partition

  # A duration such as 1m, 90m or 1h30m, in minutes; null where it is none.
  parts   = try(regex("^(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?$", module.config.schedule), [null, null, null])
  seconds = sum([for i, n in local.parts : tonumber(coalesce(n, "0")) * [3600, 60, 1][i]])
  minutes = try(local.seconds % 60 == 0 && local.seconds > 0 ? local.seconds / 60 : null, null)

  host = merge(
    { region = var.region },
    contains(var.secret_files, "host.key") ? { tls = { ca_file = "secrets/ca.pem", cert_file = "secrets/host.pem", key_file = "secrets/host.key" } } : {},
  )
  # Names of variables, which files' names are not.
  secret_variables = { for i, name in sort(var.secret_files) : name => "SECRET_${i}" }
  # Runs in sh before each pass. The contents are in variables, never in the text.
  init = join("\n", concat(
    [
      "set -eu",
      "umask 077",
      "mkdir -p /etc/veer/secrets",
      "printf '%s' \"$VEER_YAML\" | base64 -d | gzip -dc >/etc/veer/veer.yaml",
      "printf '%s' \"$HOST_YAML\" >/etc/veer/host.yaml",
    ],
    [for name, variable in local.secret_variables : format("printf '%%s\\n' \"$%s\" >/etc/veer/secrets/%s", variable, name)],
    ["chown -R 65534:65534 /etc/veer /var/lib/veer"],
  ))
  log = {
    logDriver = "awslogs"
    options = {
      "awslogs-group"         = aws_cloudwatch_log_group.passes.name
      "awslogs-region"        = var.aws_region
      "awslogs-stream-prefix" = "veer"
    }
  }
}

# --- what a pass reads -------------------------------------------------------

resource "aws_ssm_parameter" "config" {
  region      = var.aws_region
  name        = "${local.prefix}/config"
  description = "veer.yaml of the passes in ${var.region}, gzipped, in base64"
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
      condition     = length(module.config.endpoints) > 0
      error_message = "veer.yaml has no cluster.endpoints. Passes keep nothing from one to the next: they need an etcd that runs all the time."
    }
    precondition {
      condition     = local.minutes != null
      error_message = "schedule: in veer.yaml must be whole minutes, as in 1m or 1h30m: EventBridge knows nothing finer. It is ${jsonencode(module.config.schedule)}."
    }
    precondition {
      condition     = var.route53_provider == null || module.config.route53.found
      error_message = "veer.yaml has no provider of kind route53 that is named ${coalesce(var.route53_provider, "-")}."
    }
  }
}

resource "aws_ssm_parameter" "secret" {
  for_each = var.secret_files

  region           = var.aws_region
  name             = "${local.prefix}/secrets/${each.key}"
  description      = "${each.key} of the passes in ${var.region}"
  type             = "SecureString"
  tier             = "Intelligent-Tiering"
  key_id           = var.kms_key_arn
  value_wo         = var.secrets[each.key]
  value_wo_version = var.secrets_version
  tags             = local.tags
}

resource "aws_cloudwatch_log_group" "passes" {
  region            = var.aws_region
  name              = "/veer/${local.name}"
  retention_in_days = var.log_days
  tags              = local.tags
}

# --- what may do what --------------------------------------------------------

locals {
  assume = {
    for service in ["ecs-tasks", "scheduler"] : service => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = "${service}.amazonaws.com" }
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      }]
    })
  }
}

# What ECS does for the task: pull, read parameters, write logs.
resource "aws_iam_role" "execution" {
  name_prefix          = "${local.role}-exec-"
  description          = "Starts passes of Veer in ${var.region}"
  assume_role_policy   = local.assume["ecs-tasks"]
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "execution" {
  name_prefix = "start-"
  role        = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "OwnParameters"
          Effect   = "Allow"
          Action   = ["ssm:GetParameters"]
          Resource = concat([aws_ssm_parameter.config.arn], [for s in aws_ssm_parameter.secret : s.arn])
        },
        {
          Sid      = "OwnLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${aws_cloudwatch_log_group.passes.arn}:*"]
        },
      ],
      var.kms_key_arn == null ? [] : [{
        Sid      = "DecryptOwnParameters"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [var.kms_key_arn]
      }],
      length(var.ecr_repository_arns) == 0 ? [] : [
        {
          Sid      = "PullImages"
          Effect   = "Allow"
          Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
          Resource = var.ecr_repository_arns
        },
        {
          Sid      = "LogIn"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"] # takes no resource
          Resource = ["*"]
        },
      ],
    )
  })
}

# What Veer itself may do.
resource "aws_iam_role" "pass" {
  name_prefix          = "${local.role}-"
  description          = "Passes of Veer in ${var.region}"
  assume_role_policy   = local.assume["ecs-tasks"]
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
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
  role        = aws_iam_role.pass.id
  policy      = module.policy[0].json
}

resource "aws_iam_role" "scheduler" {
  name_prefix          = "${local.role}-at-"
  description          = "Runs passes of Veer in ${var.region} in time"
  assume_role_policy   = local.assume["scheduler"]
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name_prefix = "run-"
  role        = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunPasses"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["${aws_ecs_task_definition.pass.arn_without_revision}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        Sid       = "GiveThemTheirRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.execution.arn, aws_iam_role.pass.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  })
}

# --- the pass ----------------------------------------------------------------

resource "aws_ecs_cluster" "passes" {
  count = var.cluster_arn == null ? 1 : 0

  region = var.aws_region
  name   = local.name
  tags   = local.tags
}

locals {
  cluster_arn = var.cluster_arn != null ? var.cluster_arn : aws_ecs_cluster.passes[0].arn
}

resource "aws_ecs_task_definition" "pass" {
  region                   = var.aws_region
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.cpu)
  memory                   = tostring(var.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.pass.arn
  tags                     = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture == "arm64" ? "ARM64" : "X86_64"
  }

  volume {
    name = "config"
  }

  volume {
    name = "data"
  }

  container_definitions = jsonencode([
    {
      name        = "init"
      image       = var.init_image
      essential   = false
      entryPoint  = ["sh", "-c"]
      command     = [local.init]
      environment = [{ name = "HOST_YAML", value = yamlencode(local.host) }]
      secrets = concat(
        [{ name = "VEER_YAML", valueFrom = aws_ssm_parameter.config.arn }],
        [for name, variable in local.secret_variables : { name = variable, valueFrom = aws_ssm_parameter.secret[name].arn }],
      )
      mountPoints = [
        { sourceVolume = "config", containerPath = "/etc/veer" },
        { sourceVolume = "data", containerPath = "/var/lib/veer" },
      ]
      logConfiguration = local.log
    },
    {
      name                   = "veer"
      image                  = var.image
      essential              = true
      command                = ["once", "-c", "/etc/veer/veer.yaml", "-o", "json"]
      user                   = "65534:65534"
      readonlyRootFilesystem = true
      dependsOn              = [{ containerName = "init", condition = "SUCCESS" }]
      linuxParameters        = { capabilities = { drop = ["ALL"] } }
      environment = [
        { name = "VEER_REGION", value = var.region },
        { name = "VEER_DATA_DIR", value = "/var/lib/veer" },
      ]
      mountPoints = [
        { sourceVolume = "config", containerPath = "/etc/veer", readOnly = true },
        { sourceVolume = "data", containerPath = "/var/lib/veer" },
      ]
      logConfiguration = local.log
    },
  ])
}

resource "aws_security_group" "pass" {
  region      = var.aws_region
  name_prefix = "${local.name}-"
  description = "Passes of Veer in ${var.region}: nothing comes in"
  vpc_id      = var.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "pass" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  region            = var.aws_region
  security_group_id = aws_security_group.pass.id
  description       = "probes, providers, etcd"
  ip_protocol       = "-1"
  cidr_ipv4         = each.key == "ipv4" ? each.value : null
  cidr_ipv6         = each.key == "ipv6" ? each.value : null
  tags              = local.tags
}

resource "aws_scheduler_schedule" "pass" {
  region              = var.aws_region
  name                = local.name
  description         = "A pass of Veer in ${var.region}"
  schedule_expression = "rate(${coalesce(local.minutes, 1)} ${local.minutes == 1 ? "minute" : "minutes"})"
  state               = var.enabled ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = local.cluster_arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.pass.arn
      launch_type         = "FARGATE"
      task_count          = 1

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = [aws_security_group.pass.id]
        assign_public_ip = var.public_ip
      }
    }

    # A pass that did not start is not made up for: the next one does its work.
    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 0
    }
  }
}
