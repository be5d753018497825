mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

variables {
  region     = "eu-west"
  aws_region = "eu-west-1"
  image      = "registry.example.org/veer:1.0.0"
  init_image = "registry.example.org/busybox:1.37"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0"]

  route53_provider = "aws"
  secret_files     = ["ca.pem", "host.pem", "host.key"]
  secrets          = { "ca.pem" = "CANARY-ca", "host.pem" = "CANARY-pem", "host.key" = "CANARY-key" }

  config = <<-YAML
    owner: shop
    regions: [eu-west, us-east]
    schedule: 1m
    cluster:
      endpoints: ["https://etcd-1.example.org:2379"]
    providers:
      aws: {kind: route53, zones: [{name: example.org, id: Z0123456789}]}
    services:
      - name: app.example.org
        pools:
          - {region: eu-west, endpoints: [192.0.2.10]}
  YAML
}

run "a_pass_every_minute" {
  command = apply

  assert {
    condition     = output.schedule == "rate(1 minute)"
    error_message = "The passes do not follow schedule: of the config."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.pass.container_definitions)[1].command == ["once", "-c", "/etc/veer/veer.yaml", "-o", "json"]
    error_message = "The task does not run veer once."
  }
  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.pass.container_definitions)[0].secrets) == 4
    error_message = "The init container does not get the config and the three secrets."
  }
  assert {
    condition     = !strcontains(jsonencode([aws_ecs_task_definition.pass, aws_ssm_parameter.secret, aws_ssm_parameter.config]), "CANARY-")
    error_message = "A secret is in the state."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.route53[0].policy).Statement[0].Resource == ["arn:aws:route53:::hostedzone/Z0123456789"]
    error_message = "The passes may change another zone."
  }
  assert {
    condition     = !anytrue([for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : contains(s.Resource, "*")])
    error_message = "A statement allows everything."
  }
  assert {
    condition     = aws_scheduler_schedule.pass.target[0].retry_policy[0].maximum_retry_attempts == 0
    error_message = "A pass that was missed is made up for."
  }
}

run "an_hour_and_a_half" {
  command = plan
  variables {
    config           = "{owner: shop, regions: [eu-west], schedule: 1h30m, cluster: {endpoints: ['https://e:2379']}}"
    route53_provider = null
    cluster_arn      = "arn:aws:ecs:eu-west-1:123456789012:cluster/mine"
    enabled          = false
  }
  assert {
    condition     = output.schedule == "rate(90 minutes)"
    error_message = "1h30m are 90 minutes."
  }
  assert {
    condition     = output.cluster_arn == "arn:aws:ecs:eu-west-1:123456789012:cluster/mine" && length(aws_ecs_cluster.passes) == 0
    error_message = "The cluster that exists is not used."
  }
  assert {
    condition     = aws_scheduler_schedule.pass.state == "DISABLED"
    error_message = "enabled = false does not stop the passes."
  }
}

run "refuses_a_config_without_endpoints" {
  command = plan
  variables {
    config           = "{owner: shop, regions: [eu-west], schedule: 1m}"
    route53_provider = null
  }
  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_half_a_minute" {
  command = plan
  variables {
    config           = "{owner: shop, regions: [eu-west], schedule: 30s, cluster: {endpoints: ['https://e:2379']}}"
    route53_provider = null
  }
  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_a_config_without_schedule" {
  command = plan
  variables {
    config           = "{owner: shop, regions: [eu-west], cluster: {endpoints: ['https://e:2379']}}"
    route53_provider = null
  }
  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_bad_variables" {
  command = plan
  variables {
    region       = "EU"
    aws_region   = "ireland"
    image        = "veer"
    init_image   = "busybox"
    subnet_ids   = []
    vpc_id       = "subnet-1"
    secret_files = ["a/b"]
    secrets      = { "a/b" = "" }
    kms_key_arn  = "alias/veer"
    architecture = "amd64"

    secrets_version = 0
  }
  expect_failures = [
    var.region, var.aws_region, var.image, var.init_image, var.subnet_ids, var.vpc_id, var.secret_files,
    var.kms_key_arn, var.architecture, var.secrets_version,
  ]
}

run "a_region_with_a_long_name" {
  command = plan
  variables {
    region           = "a-very-long-name-for-a-region-which-is-allowed-in-veer-yaml"
    config           = "{owner: shop, regions: [a-very-long-name-for-a-region-which-is-allowed-in-veer-yaml], schedule: 1m, cluster: {endpoints: ['https://e:2379']}}"
    route53_provider = null
  }
  assert {
    condition     = alltrue([for r in [aws_iam_role.execution, aws_iam_role.pass, aws_iam_role.scheduler] : length(r.name_prefix) <= 38]) && length(aws_scheduler_schedule.pass.name) <= 64
    error_message = "AWS refuses a role's prefix above 38 characters, and a schedule's name above 64."
  }
}
