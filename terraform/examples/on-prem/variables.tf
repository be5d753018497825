variable "zone" {
  description = "The zone that Veer serves. Its file is zone, beside this one."
  type        = string
  default     = "example.test"
}

variable "hosts" {
  description = "The hosts' addresses, for SSH, for each other and for DNS, by region."
  type        = map(string)
  default     = { eu-west = "10.0.1.10", us-east = "10.1.1.10", ap-south = "10.2.1.10" }
}

variable "endpoints" {
  description = "The addresses that serve the traffic, by region, in order of preference."
  type        = list(object({ region = string, addresses = list(string) }))
  default = [
    { region = "eu-west", addresses = ["192.0.2.10"] },
    { region = "us-east", addresses = ["198.51.100.10"] },
    { region = "ap-south", addresses = ["203.0.113.10"] },
  ]
}

variable "package" {
  description = "Veer's .deb, .rpm or static binary on this machine."
  type        = string
}

variable "certificates" {
  description = "The folder of veer certs init and veer certs issue."
  type        = string
}

variable "secrets_version" {
  description = "Raise it when keys were renewed."
  type        = number
  default     = 1
}

variable "user" {
  description = "Who logs in. Anybody but root needs sudo without a password."
  type        = string
  default     = "root"
}

variable "ssh_options" {
  description = "Arguments of ssh, such as [\"-i\", \"/home/me/.ssh/veer\"]."
  type        = list(string)
  default     = []
}
