variable "zone" {
  description = "The zone in Route 53, which exists."
  type        = string
  default     = "example.org"
}

variable "etcd" {
  description = "The client URLs of the etcd that runs all the time, which lets Veer in by its certificate."
  type        = list(string)
  default     = ["https://etcd-1.example.org:2379", "https://etcd-2.example.org:2379", "https://etcd-3.example.org:2379"]
}

variable "places" {
  description = "Where the passes run: the two regions, and a witness that only votes."
  type        = map(object({ aws_region = string, vpc_id = string, subnet_ids = list(string) }))
  default = {
    eu-west = { aws_region = "eu-west-1", vpc_id = "vpc-00000000000000001", subnet_ids = ["subnet-00000000000000001"] }
    us-east = { aws_region = "us-east-1", vpc_id = "vpc-00000000000000002", subnet_ids = ["subnet-00000000000000002"] }
    witness = { aws_region = "eu-north-1", vpc_id = "vpc-00000000000000003", subnet_ids = ["subnet-00000000000000003"] }
  }
}

variable "endpoints" {
  description = "The addresses that serve the traffic, by region."
  type        = map(list(string))
  default     = { eu-west = ["192.0.2.10"], us-east = ["198.51.100.10"] }
}

variable "image" {
  description = "Veer's image."
  type        = string
}

variable "init_image" {
  description = "An image with a shell, such as busybox."
  type        = string
}

variable "certificates" {
  description = "The folder with ca.pem, and REGION.pem and REGION.key for each region."
  type        = string
}

variable "secrets_version" {
  description = "Raise it when certificates were renewed."
  type        = number
  default     = 1
}
