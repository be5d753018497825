variable "name" {
  description = "The zone, as in example.org."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?[.])*[a-z0-9-]+$", var.name))
    error_message = "name is a DNS name in lower case without the final dot; write letters beyond ASCII in Punycode (xn--...)."
  }
}

variable "create" {
  description = "true makes the zone; false looks up one that exists."
  type        = bool
  default     = true
}

variable "vpc_ids" {
  description = "Makes a private zone for these VPCs, by the AWS region that each is in; or, with create = false, looks the private zone up. Empty: a public zone."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for region, id in var.vpc_ids : startswith(id, "vpc-") && can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", region))])
    error_message = "vpc_ids is a map of AWS regions to VPCs, as in {eu-west-1 = \"vpc-0123456789abcdef0\"}."
  }
}

variable "parent_zone_id" {
  description = "A hosted zone of the parent domain, to delegate the new zone in. null: delegate it elsewhere, with the output name_servers."
  type        = string
  default     = null
}

variable "owner" {
  description = "owner of veer.yaml."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.owner))
    error_message = "owner is a name: lower-case letters, digits and -, at most 63."
  }
}

variable "services" {
  description = "The names in this zone that Veer steers, and the types of their answers."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.services) : name == var.name || endswith(name, ".${var.name}")])
    error_message = "Each of services is a name in the zone, as in {\"app.example.org\" = [\"A\"]}."
  }
  validation {
    condition     = alltrue(flatten([for types in values(var.services) : [for t in types : contains(["A", "AAAA", "CNAME"], t)]]))
    error_message = "The types of a service are A, AAAA or CNAME."
  }
}

variable "comment" {
  description = "The zone's comment."
  type        = string
  default     = "Veer writes answers here; see its _veer-fence record"
}

variable "force_destroy" {
  description = "Let terraform destroy delete the zone with the records that Veer made in it."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of the zone."
  type        = map(string)
  default     = {}
}
