output "zone_id" {
  description = "The zone's id: zones[].id of the provider in veer.yaml."
  value       = local.zone_id
}

output "name_servers" {
  description = "Its name servers, for the registrar."
  value       = local.name_servers
}

output "provider" {
  description = "The provider for veer.yaml; add token_file or token_env."
  value       = { kind = "cloudflare", plan = var.plan, zones = [{ name = var.name, id = local.zone_id }] }
}

output "token_policy" {
  description = "What the token is allowed, to make one by hand or by the API."
  value       = { effect = "allow", permission = local.permission, resources = local.resources }
}

output "token" {
  description = "The token's value, or null."
  value       = one(cloudflare_api_token.veer[*].value)
  sensitive   = true
}
