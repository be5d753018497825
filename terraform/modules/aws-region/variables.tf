variable "region" {
  description = "The region, or vantage, of veer.yaml that this host is. With a witness, the witness's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.region))
    error_message = "region is a name of veer.yaml: lower-case letters, digits and -, at most 63, as in eu-west."
  }
}

variable "aws_region" {
  description = "The AWS region to put it in."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region is a region of AWS, as in eu-west-1. An availability zone (eu-west-1a) follows from the subnet."
  }
}

variable "config" {
  description = "The text of veer.yaml, the same in every region."
  type        = string

  validation {
    condition     = can(yamldecode(var.config).owner)
    error_message = "config is the text of a veer.yaml with at least owner: in it. Check it with: veer validate -c veer.yaml"
  }
  validation {
    condition     = try(length(base64gzip(var.config)) <= 8192, true)
    error_message = "config is too large for a parameter of SSM: gzipped and in base64 it may have 8192 characters."
  }
  validation {
    condition     = !can(yamldecode(var.config).host)
    error_message = "config has a host: section. It is the same file in every region; what differs from host to host is written by this module."
  }
}

variable "members" {
  description = "The private IP address of each etcd member, by region, as in cluster.members of config. Empty where config lists none."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for ip in values(var.members) : can(cidrhost("${ip}/32", 0))])
    error_message = "members are IPv4 addresses, as in {eu-west = \"10.0.1.10\"}: hosts cannot listen on names."
  }
  validation {
    condition     = contains([0, 1, 3, 5, 7], length(var.members))
    error_message = "There are 1, 3, 5 or 7 members. Two cannot outvote a third that is lost: add a witness."
  }
}

variable "subnet_id" {
  description = "The subnet of the host. The hosts of the other regions must reach it (VPC peering or a transit gateway), and it must reach SSM, the providers' APIs and what it probes."
  type        = string

  validation {
    condition     = startswith(var.subnet_id, "subnet-")
    error_message = "subnet_id is the id of a subnet in aws_region, as in subnet-0123456789abcdef0."
  }
}

variable "release" {
  description = "The veer to run: where its static binary for Linux is (https:// or s3://), and the binary's SHA-256. Changed here, it is rolled out region by region: see update_at."
  type        = object({ url = string, sha256 = string })

  validation {
    condition     = can(regex("^(https|s3)://[^/ ]+/[^ ]+$", var.release.url))
    error_message = "release.url starts with https:// or s3://, and names a file."
  }
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.release.sha256))
    error_message = "release.sha256 is the binary's SHA-256 in 64 lower-case hexadecimal digits, as sha256sum prints it."
  }
}

variable "role" {
  description = "What the process does: all, controller, witness, prober, authority, or several of them separated by commas."
  type        = string
  default     = "all"

  validation {
    condition     = alltrue([for r in split(",", var.role) : contains(["all", "controller", "witness", "prober", "authority"], r)])
    error_message = "role is all, controller, witness, prober or authority, or several separated by commas without spaces."
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
  validation {
    condition     = alltrue([for text in values(var.files) : try(length(base64gzip(text)) <= 8192, true)])
    error_message = "A file is too large for a parameter of SSM: gzipped and in base64 it may have 8192 characters."
  }
}

variable "secrets" {
  description = "The contents of the files in /etc/veer/secrets, by name. They are written to SSM, and are in neither plan nor state. With several members: ca.pem, host.pem and host.key of veer certs issue."
  type        = map(string)
  ephemeral   = true
  default     = {}

  validation {
    condition     = length(setsubtract(var.secret_files, keys(var.secrets))) == 0
    error_message = "secrets lacks a name that secret_files has. Every plan needs all of them: SSM keeps them, Terraform does not."
  }
}

variable "secret_files" {
  description = "The names in secrets. A name that is here and has no content in secrets is an error."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.secret_files : can(regex("^[0-9A-Za-z][0-9A-Za-z_.-]*$", name))])
    error_message = "A secret file's name has letters, digits, and . _ -."
  }
}

variable "secrets_version" {
  description = "Raise it to write changed secrets: Terraform cannot see that they changed. The hosts take them within the hour."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "secrets_version is a whole number, 1 or more."
  }
}

variable "route53_provider" {
  description = "The name, in config, of the provider of kind route53. The host may then change exactly the names of config there: what veer iam-policy prints. null: no rights in Route 53."
  type        = string
  default     = null
}

variable "dns_cidrs" {
  description = "Who may ask the embedded DNS server, on port 53. Empty: nobody, as with answers at a provider."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.dns_cidrs : can(cidrhost(c, 0))])
    error_message = "dns_cidrs are networks such as 0.0.0.0/0 or ::/0."
  }
}

variable "client_cidrs" {
  description = "Networks of vantages without a member (probers, authorities): they may reach the member's client port."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.client_cidrs : can(cidrhost(c, 0))])
    error_message = "client_cidrs are networks such as 10.3.0.0/16."
  }
}

variable "peer_port" {
  description = "The port of the peer URLs in cluster.members."
  type        = number
  default     = 2380
}

variable "client_port" {
  description = "The port of the client URLs in cluster.members."
  type        = number
  default     = 2379
}

variable "public_ip" {
  description = "Give the host an Elastic IP: for a DNS server that the internet asks, or a subnet without NAT."
  type        = bool
  default     = false
}

variable "instance_type" {
  description = "The EC2 instance type."
  type        = string
  default     = "t4g.small"
}

variable "architecture" {
  description = "arm64 or x86_64: that of instance_type, and of the binary in release."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "ami_id" {
  description = "The image; null: the newest Amazon Linux 2023 when the host is made. Another image needs bash, curl, systemd and the AWS command line."
  type        = string
  default     = null
}

variable "volume_gib" {
  description = "The size of the root volume, which holds the ledger."
  type        = number
  default     = 20

  validation {
    condition     = var.volume_gib >= 8
    error_message = "volume_gib is at least 8."
  }
}

variable "kms_key_arn" {
  description = "The KMS key of the secrets and of the volume; null: the account's own keys of SSM and EBS."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key, as in arn:aws:kms:eu-west-1:123456789012:key/..."
  }
}

variable "update_at" {
  description = "When the host takes a changed config or release: an OnCalendar expression of systemd. Different in every region, so that two never restart at once; null: once an hour, the regions of config spread evenly over it."
  type        = string
  default     = null
}

variable "permissions_boundary" {
  description = "The ARN of a permissions boundary for the role."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
