output "config" {
  description = "veer.yaml as every region has it."
  value       = local.config
}

output "zone_file" {
  description = "The zone that Veer serves."
  value       = var.zone_file
}

output "name_servers" {
  description = "The public addresses that answer for the zone: its delegation, and the A records of its name servers in zone_file."
  value       = { for name, r in module.region : name => r.public_ip }
}

output "cloudflare_name_servers" {
  description = "The name servers of the zone at Cloudflare, for its registrar."
  value       = module.cloudflare.name_servers
}

output "cloudflare_token_policy" {
  description = "What Veer's token is allowed."
  value       = module.cloudflare.token_policy
}

output "user_data" {
  description = "The start script of each host."
  value       = { for name, r in module.region : name => r.user_data }
}
