variable "config" {
  description = "The text of veer.yaml, the same in every region."
  type        = string

  validation {
    condition     = can(yamldecode(var.config).owner)
    error_message = "config is the text of a veer.yaml with at least owner: in it. Check it with: veer validate -c veer.yaml"
  }
  validation {
    condition     = !can(yamldecode(var.config).host)
    error_message = "config has a host: section. It is the same file in every region; what differs from host to host is written by this module."
  }
}

variable "hosts" {
  description = "The hosts by region or vantage of config, one for each: address for SSH, and files on this machine with the certificate of veer certs issue (all three, or none)."
  type = map(object({
    address   = string
    user      = optional(string, "root")
    port      = optional(number, 22)
    role      = optional(string, "all")
    ca_file   = optional(string)
    cert_file = optional(string)
    key_file  = optional(string)
  }))

  validation {
    condition     = length(var.hosts) > 0 && alltrue([for name in keys(var.hosts) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "hosts has at least one host, by its region in veer.yaml: lower-case letters, digits and -, as in eu-west."
  }
  validation {
    condition     = alltrue([for h in values(var.hosts) : can(regex("^[0-9A-Za-z_:][0-9A-Za-z_.:-]*$", h.address))])
    error_message = "A host's address is a DNS name or an IP address, without user and port."
  }
  validation {
    condition     = length(distinct([for h in values(var.hosts) : "${h.address} ${h.port}"])) == length(var.hosts)
    error_message = "Two of hosts have the same address and port. Each region or vantage has a host of its own: one Veer votes for one place."
  }
  validation {
    condition     = alltrue([for h in values(var.hosts) : can(regex("^[a-z_][0-9a-z_-]*$", h.user)) && h.port > 0 && h.port < 65536])
    error_message = "A host's user is a Unix user, and its port is from 1 to 65535."
  }
  validation {
    condition     = alltrue(flatten([for h in values(var.hosts) : [for r in split(",", h.role) : contains(["all", "controller", "witness", "prober", "authority"], r)]]))
    error_message = "A host's role is all, controller, witness, prober or authority, or several separated by commas without spaces."
  }
  validation {
    condition     = alltrue([for h in values(var.hosts) : contains([0, 3], length([for f in [h.ca_file, h.cert_file, h.key_file] : f if f != null]))])
    error_message = "A host has all of ca_file, cert_file and key_file, or none of them."
  }
  validation {
    condition     = alltrue(flatten([for h in values(var.hosts) : [for f in [h.ca_file, h.cert_file, h.key_file] : fileexists(f) if f != null]]))
    error_message = "A certificate's file is not there. Make them with: veer certs init, then veer certs issue for each region."
  }
}

variable "package" {
  description = "A file on this machine: Veer's .deb or .rpm, or its static binary for Linux. Another file, or other contents, is an upgrade: one region after the other."
  type        = string

  validation {
    condition     = fileexists(var.package)
    error_message = "The file of package is not there. Give the path of a .deb, an .rpm or the static binary for Linux (make build)."
  }
}

variable "files" {
  description = "Other files that config names, by their names relative to it: the zone files of an authority. Not for secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.files) : can(regex("^[0-9A-Za-z][0-9A-Za-z_.-]*$", name)) && !contains(["veer.yaml", "host.yaml", "veer.env", "secrets"], name)])
    error_message = "A file's name has letters, digits, and . _ -; it is in the folder of veer.yaml, and is not veer.yaml, host.yaml, veer.env or secrets."
  }
}

variable "secret_files" {
  description = "Files on this machine that every host gets in /etc/veer/secrets, by their names there: config names them as secrets/NAME. Only the paths are in Terraform's state."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.secret_files) : can(regex("^[0-9A-Za-z][0-9A-Za-z_.-]*$", name)) && !contains(["ca.pem", "host.pem", "host.key"], name)])
    error_message = "A secret file's name has letters, digits, and . _ -; ca.pem, host.pem and host.key are the host's certificate, from hosts."
  }
  validation {
    condition     = alltrue([for path in values(var.secret_files) : fileexists(path)])
    error_message = "A file of secret_files is not there."
  }
}

variable "secrets_version" {
  description = "Raise it to bring changed secrets or keys: Terraform keeps no hash of them."
  type        = number
  default     = 1
}

variable "ssh_options" {
  description = "Arguments of ssh, as in [\"-i\", \"/home/me/.ssh/veer\", \"-o\", \"UserKnownHostsFile=known_hosts\"]. ssh asks nothing (BatchMode), and refuses hosts that it does not know."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for o in var.ssh_options : can(regex("^[^\n]+$", o))])
    error_message = "An argument in ssh_options is empty or has a line break. Give each word by itself: [\"-i\", \"/home/me/.ssh/veer\"]."
  }
}

variable "health_timeout" {
  description = "How many seconds a host has to get well after its start, before the roll stops."
  type        = number
  default     = 180

  validation {
    condition     = var.health_timeout >= 10
    error_message = "health_timeout is at least 10 seconds: an election takes some."
  }
}

variable "force" {
  description = "Roll although a host is not well before it: when the roll itself is the cure."
  type        = bool
  default     = false
}

variable "remove_data" {
  description = "On destroy, delete /var/lib/veer, the ledger, too."
  type        = bool
  default     = false
}
