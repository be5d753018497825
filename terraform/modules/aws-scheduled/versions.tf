terraform {
  required_version = ">= 1.11" # ephemeral variables and write-only arguments

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.20, < 7.0" # region arguments
    }
  }
}
