variable "name" {
  description = "The zone, as in example.net."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?[.])+[a-z0-9-]+$", var.name))
    error_message = "name is a DNS name in lower case without the final dot; write letters beyond ASCII in Punycode (xn--...)."
  }
}

variable "account_id" {
  description = "The Cloudflare account of the zone."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.account_id))
    error_message = "account_id has 32 hexadecimal digits; it is in the address of the dashboard."
  }
}

variable "create" {
  description = "true adds the zone to the account; false looks up one that exists."
  type        = bool
  default     = true
}

variable "plan" {
  description = "The zone's plan, which bounds a batch and the least TTL: free, pro, business or enterprise. It is told to Veer; Terraform does not buy it."
  type        = string
  default     = "free"

  validation {
    condition     = contains(["free", "pro", "business", "enterprise"], var.plan)
    error_message = "plan is free, pro, business or enterprise."
  }
}

variable "owner" {
  description = "owner of veer.yaml; names the token."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.owner))
    error_message = "owner is a name: lower-case letters, digits and -, at most 63."
  }
}

variable "token" {
  description = "none; or write or read: make an API token that may edit, or only read, the DNS records of this one zone. A token that Terraform makes is in its state: keep the state as you would the token, or leave it at none and make the token by the output token_policy."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "write", "read"], var.token)
    error_message = "token is none, write or read."
  }
}

variable "token_cidrs" {
  description = "The networks of Veer's controllers: the token works from no other. Empty: from anywhere."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.token_cidrs : can(cidrhost(c, 0))])
    error_message = "token_cidrs are networks such as 203.0.113.10/32."
  }
}

variable "token_expires_on" {
  description = "When the token ends, as in 2027-01-31T00:00:00Z; null: never."
  type        = string
  default     = null

  validation {
    condition     = var.token_expires_on == null || can(formatdate("YYYY", var.token_expires_on))
    error_message = "token_expires_on is a time such as 2027-01-31T00:00:00Z."
  }
}
