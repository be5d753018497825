variable "zone" {
  description = "The zone in Route 53."
  type        = string
  default     = "example.org"
}

variable "create_zone" {
  description = "Make the zone; false: it exists."
  type        = bool
  default     = true
}

variable "places" {
  description = "Where the two regions and the witness are. The subnets must reach each other: VPC peering or a transit gateway is yours."
  type        = map(object({ aws_region = string, subnet_id = string, private_ip = string }))
  default = {
    eu-west = { aws_region = "eu-west-1", subnet_id = "subnet-00000000000000001", private_ip = "10.0.1.10" }
    us-east = { aws_region = "us-east-1", subnet_id = "subnet-00000000000000002", private_ip = "10.1.1.10" }
    witness = { aws_region = "eu-north-1", subnet_id = "subnet-00000000000000003", private_ip = "10.2.1.10" }
  }

  validation {
    condition     = toset(keys(var.places)) == toset(["eu-west", "us-east", "witness"])
    error_message = "places has exactly eu-west, us-east and witness."
  }
}

variable "endpoints" {
  description = "The addresses that serve the traffic, by region."
  type        = map(list(string))
  default     = { eu-west = ["192.0.2.10"], us-east = ["198.51.100.10"] }
}

variable "release" {
  description = "Where the binary is, and its SHA-256."
  type        = object({ url = string, sha256 = string })
}

variable "certificates" {
  description = "The folder of veer certs init and veer certs issue."
  type        = string
}

variable "secrets_version" {
  description = "Raise it when certificates were renewed."
  type        = number
  default     = 1
}
