variable "region" {
  description = "The region, or vantage, of veer.yaml that the passes vote for."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.region))
    error_message = "region is a name of veer.yaml: lower-case letters, digits and -, at most 63, as in eu-west."
  }
}

variable "aws_region" {
  description = "The AWS region to run them in."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region is a region of AWS, as in eu-west-1."
  }
}

variable "config" {
  description = "The text of veer.yaml, the same in every region. It has schedule: in whole minutes, and cluster.endpoints, an etcd that runs all the time."
  type        = string

  validation {
    condition     = can(yamldecode(var.config).owner)
    error_message = "config is the text of a veer.yaml with at least owner: in it. Check it with: veer validate -c veer.yaml"
  }
  validation {
    condition     = try(length(base64gzip(var.config)) <= 8192, true)
    error_message = "config is too large for a parameter of SSM: gzipped and in base64 it may have 8192 characters."
  }
}

variable "image" {
  description = "Veer's image, with the binary at /veer or in its PATH as the entry point."
  type        = string

  validation {
    condition     = can(regex("^[^ ]+(:[0-9A-Za-z._-]+|@sha256:[0-9a-f]{64})$", var.image))
    error_message = "image has a tag or, better, a digest, so that every pass runs the same version."
  }
}

variable "init_image" {
  description = "A small image with sh, base64, gzip and chown, such as busybox. It writes the config and the secrets into the task's volume before each pass; Veer's own image has no shell."
  type        = string

  validation {
    condition     = can(regex("^[^ ]+(:[0-9A-Za-z._-]+|@sha256:[0-9a-f]{64})$", var.init_image))
    error_message = "init_image has a tag or, better, a digest."
  }
}

variable "ecr_repository_arns" {
  description = "The repositories of ECR that the images are pulled from. Empty: they are public."
  type        = list(string)
  default     = []
}

variable "subnet_ids" {
  description = "Subnets from which etcd, the endpoints, SSM and the providers' APIs are reached."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for s in var.subnet_ids : startswith(s, "subnet-")])
    error_message = "subnet_ids has at least one subnet of aws_region, as in subnet-0123456789abcdef0."
  }
}

variable "vpc_id" {
  description = "The VPC of the subnets."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id is the id of a VPC, as in vpc-0123456789abcdef0."
  }
}

variable "public_ip" {
  description = "Give each task a public address: for subnets without NAT."
  type        = bool
  default     = false
}

variable "cluster_arn" {
  description = "The ECS cluster to run in; null makes one."
  type        = string
  default     = null
}

variable "secrets" {
  description = "The contents of the files in /etc/veer/secrets, by name. They are written to SSM, and are in neither plan nor state. With ca.pem, host.pem and host.key Veer proves itself to etcd."
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
  description = "Raise it to write changed secrets: Terraform cannot see that they changed. The next pass takes them."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "secrets_version is a whole number, 1 or more."
  }
}

variable "route53_provider" {
  description = "The name, in config, of the provider of kind route53. The passes may then change exactly the names of config there. null: no rights in Route 53."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "The KMS key of the secrets; null: the account's own key of SSM."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key, as in arn:aws:kms:eu-west-1:123456789012:key/..."
  }
}

variable "architecture" {
  description = "arm64 or x86_64: that of the images."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "cpu" {
  description = "CPU units of the task (Fargate)."
  type        = number
  default     = 256
}

variable "memory" {
  description = "MiB of the task (Fargate)."
  type        = number
  default     = 512
}

variable "log_days" {
  description = "How long the logs of the passes are kept."
  type        = number
  default     = 30
}

variable "enabled" {
  description = "false stops the passes, and leaves all else."
  type        = bool
  default     = true
}

variable "permissions_boundary" {
  description = "The ARN of a permissions boundary for the roles."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
