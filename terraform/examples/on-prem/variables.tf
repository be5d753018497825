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
