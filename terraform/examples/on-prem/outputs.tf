output "config" {
  description = "veer.yaml as every host has it."
  value       = local.config
}

output "zone_file" {
  description = "The zone that Veer serves."
  value       = file("${path.module}/example.test.zone")
}

output "regions" {
  description = "The regions in the order in which they are rolled."
  value       = module.veer.regions
}

output "name_servers" {
  description = "The hosts' addresses by region: ask them, and delegate the zone to them."
  value       = module.veer.hosts
}
