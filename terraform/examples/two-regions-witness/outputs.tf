output "config" {
  description = "veer.yaml as every region has it."
  value       = local.config
}

output "name_servers" {
  description = "The zone's name servers, for its delegation."
  value       = module.zone.name_servers
}

output "route53_policy" {
  description = "What the hosts may do in Route 53."
  value       = module.region["eu-west"].route53_policy
}

output "update_at" {
  description = "When each region takes a changed config or release."
  value       = { for name, r in module.region : name => r.update_at }
}

output "user_data" {
  description = "The start script of each host."
  value       = { for name, r in module.region : name => r.user_data }
}
