output "config" {
  description = "veer.yaml as every pass has it."
  value       = local.config
}

output "route53_policy" {
  description = "What the passes may do in Route 53."
  value       = module.passes["eu-west"].route53_policy
}

output "init_script" {
  description = "What writes the files of a pass."
  value       = module.passes["eu-west"].init_script
}
