variable "zone" {
  description = "The zone that Veer serves itself. Delegate it to the outputs name_servers."
  type        = string
  default     = "example.org"
}

variable "zone_file" {
  description = "Its records, as an RFC 1035 master file, without those of the services."
  type        = string
  default     = <<-ZONE
    $TTL 3600
    @    SOA ns-eu-west hostmaster 1 7200 900 1209600 60
    @    NS  ns-eu-west
    @    NS  ns-us-east
    @    NS  ns-ap-south
    ns-eu-west  A 192.0.2.53
    ns-us-east  A 198.51.100.53
    ns-ap-south A 203.0.113.53
  ZONE
}

variable "cloudflare_zone" {
  description = "The zone at Cloudflare."
  type        = string
  default     = "example.net"
}

variable "cloudflare_account_id" {
  description = "The Cloudflare account."
  type        = string
}

variable "cloudflare_token" {
  description = "A token by cloudflare's token_policy: DNS Write on this zone alone."
  type        = string
  ephemeral   = true
}

variable "places" {
  description = "Where the three regions are. The subnets must reach each other: VPC peering or a transit gateway is yours."
  type        = map(object({ aws_region = string, subnet_id = string, private_ip = string }))
  default = {
    eu-west  = { aws_region = "eu-west-1", subnet_id = "subnet-00000000000000001", private_ip = "10.0.1.10" }
    us-east  = { aws_region = "us-east-1", subnet_id = "subnet-00000000000000002", private_ip = "10.1.1.10" }
    ap-south = { aws_region = "ap-south-1", subnet_id = "subnet-00000000000000003", private_ip = "10.2.1.10" }
  }
}

variable "endpoints" {
  description = "The addresses that serve the traffic, by region."
  type        = map(list(string))
  default     = { eu-west = ["192.0.2.10"], us-east = ["198.51.100.10"], ap-south = ["203.0.113.10"] }
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
  description = "Raise it when certificates or the token were renewed."
  type        = number
  default     = 1
}
