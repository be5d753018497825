output "private_ip" {
  description = "The host's private address: the one in cluster.members."
  value       = aws_network_interface.host.private_ip
}

output "public_ip" {
  description = "Its Elastic IP, or null."
  value       = one(aws_eip.host[*].public_ip)
}

output "instance_id" {
  description = "The host's id: aws ssm start-session --target ID, where the image's agent may."
  value       = aws_instance.host.id
}

output "security_group_id" {
  description = "The host's security group, for rules of your own."
  value       = aws_security_group.host.id
}

output "role_arn" {
  description = "The role of the host."
  value       = aws_iam_role.host.arn
}

output "role_name" {
  description = "The role's name, to attach more to it."
  value       = aws_iam_role.host.name
}

output "route53_policy" {
  description = "The rights in Route 53, as veer iam-policy prints them, or null."
  value       = one(module.policy[*].json)
}

output "parameter_prefix" {
  description = "Where the host's parameters are in SSM."
  value       = local.prefix
}

output "update_at" {
  description = "When the host takes a changed config or release (OnCalendar of systemd)."
  value       = local.update_at
}

output "user_data" {
  description = "The start script, without a secret in it."
  value       = local.user_data
}
