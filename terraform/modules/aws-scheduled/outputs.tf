output "schedule" {
  description = "When a pass runs."
  value       = aws_scheduler_schedule.pass.schedule_expression
}

output "cluster_arn" {
  description = "The ECS cluster of the passes."
  value       = local.cluster_arn
}

output "task_definition_arn" {
  description = "Their task definition, to run one by hand: aws ecs run-task."
  value       = aws_ecs_task_definition.pass.arn
}

output "security_group_id" {
  description = "Their security group: etcd must let it in."
  value       = aws_security_group.pass.id
}

output "log_group" {
  description = "Where their output is."
  value       = aws_cloudwatch_log_group.passes.name
}

output "role_arn" {
  description = "The role of Veer itself."
  value       = aws_iam_role.pass.arn
}

output "route53_policy" {
  description = "The rights in Route 53, as veer iam-policy prints them, or null."
  value       = one(module.policy[*].json)
}

output "init_script" {
  description = "What the init container runs, without a secret in it."
  value       = local.init
}
