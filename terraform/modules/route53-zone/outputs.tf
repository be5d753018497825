output "zone_id" {
  description = "The hosted zone's id: zones[].id of the provider in veer.yaml."
  value       = local.zone_id
}

output "name_servers" {
  description = "Its name servers, for the delegation in the parent zone."
  value       = local.name_servers
}

output "provider" {
  description = "The provider for veer.yaml: providers: {aws: ...}, by yamlencode or jsonencode."
  value       = { kind = "route53", zones = [{ name = var.name, id = local.zone_id }] }
}

output "policy" {
  description = "The least IAM policy to steer services here, as veer iam-policy prints it."
  value       = module.policy["write"].json
}

output "read_only_policy" {
  description = "The least IAM policy for veer plan."
  value       = module.policy["read"].json
}
