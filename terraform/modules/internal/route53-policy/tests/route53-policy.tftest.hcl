# What it makes is compared with `veer iam-policy` in terraform/internal.

variables {
  owner = "shop"
  zones = [{ name = "example.org", id = "Z01" }, { name = "eu.example.org", id = "Z02" }]
  names = ["app.example.org", "App.EU.example.org.", "other.example.net"]
  types = ["A"]
}

run "each_name_is_in_its_longest_zone" {
  command = plan
  assert {
    condition = [for s in jsondecode(output.json).Statement : contains(flatten([for c in values(try(s.Condition, {})) : values(c)]), "app.eu.example.org")] == [
      false, true, false, false,
    ]
    error_message = "A name is allowed in another zone than the longest that it is in."
  }
  assert {
    condition     = !strcontains(output.json, "example.net") && !strcontains(output.json, "the-")
    error_message = "A name of no zone is allowed, or a word of the model was left."
  }
}

run "in_another_part_of_aws" {
  command = plan
  variables {
    partition = "aws-cn"
  }
  assert {
    condition     = !strcontains(output.json, "arn:aws:")
    error_message = "A resource is in another part of AWS."
  }
}

run "refuses_bad_variables" {
  command = plan
  variables {
    zones = [{ name = "example.org", id = "" }]
    names = ["a b.example.org"]
    types = ["MX"]
  }
  expect_failures = [var.zones, var.names, var.types]
}
