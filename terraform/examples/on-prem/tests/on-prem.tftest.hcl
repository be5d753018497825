# Only planned here: an apply logs in to the hosts.
variables {
  package      = "tests/veer"
  certificates = "tests/certificates"
}

run "plan" {
  command = plan

  assert {
    condition     = output.regions == ["eu-west", "us-east", "ap-south"]
    error_message = "The regions are not rolled in the order of the config."
  }
}
