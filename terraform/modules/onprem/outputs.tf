output "regions" {
  description = "The regions in the order in which they are rolled."
  value       = local.order
}

output "hosts" {
  description = "The hosts' addresses by region."
  value       = { for region, h in var.hosts : region => h.address }
  depends_on  = [terraform_data.roll]
}

output "hashes" {
  description = "What each host runs, as a hash: it changes with the package, the config, files, certificates and secrets_version."
  value       = local.hash
}
