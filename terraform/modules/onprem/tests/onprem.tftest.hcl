# Only planned here: an apply logs in to the hosts. Tests in terraform/internal
# apply it.

variables {
  package = "tests/files/veer"
  hosts = {
    us-east = { address = "10.1.1.10", ca_file = "tests/files/ca.pem", cert_file = "tests/files/host.pem", key_file = "tests/files/host.key" }
    eu-west = { address = "10.0.1.10", ca_file = "tests/files/ca.pem", cert_file = "tests/files/host.pem", key_file = "tests/files/host.key" }
    witness = { address = "10.2.1.10", ca_file = "tests/files/ca.pem", cert_file = "tests/files/host.pem", key_file = "tests/files/host.key", role = "witness" }
  }
  config = <<-YAML
    owner: shop
    regions: [eu-west, us-east]
    vantages: [eu-west, us-east, witness]
    cluster:
      members:
        eu-west: {peer: "https://10.0.1.10:2380", client: "https://10.0.1.10:2379"}
        us-east: {peer: "https://10.1.1.10:2380", client: "https://10.1.1.10:2379"}
        witness: {peer: "https://10.2.1.10:2380", client: "https://10.2.1.10:2379"}
  YAML
}

run "in_the_order_of_the_config" {
  command = plan
  assert {
    condition     = output.regions == ["eu-west", "us-east", "witness"]
    error_message = "The hosts are not rolled in the order of veer.yaml."
  }
  assert {
    condition     = length(distinct(values(output.hashes))) == 3
    error_message = "Two hosts have the same hash, though their region or role differs."
  }
}

run "another_package_is_another_hash" {
  command = plan
  variables {
    package = "tests/files/veer.deb"
  }
  assert {
    condition     = output.hashes["eu-west"] != run.in_the_order_of_the_config.hashes["eu-west"]
    error_message = "A .deb in place of a binary changes nothing."
  }
}

run "the_secrets_version_is_in_the_hash" {
  command = plan
  variables {
    secrets_version = 2
  }
  assert {
    condition     = output.hashes["eu-west"] != run.in_the_order_of_the_config.hashes["eu-west"]
    error_message = "Raising secrets_version brings nothing."
  }
}

run "refuses_a_region_that_is_not_in_the_config" {
  command = plan
  variables {
    hosts = { ap-south = { address = "10.3.1.10" } }
  }
  expect_failures = [terraform_data.host]
}

run "refuses_a_member_without_certificate" {
  command = plan
  variables {
    hosts = { eu-west = { address = "10.0.1.10" } }
  }
  expect_failures = [terraform_data.host]
}

run "refuses_half_a_certificate" {
  command = plan
  variables {
    hosts = { eu-west = { address = "10.0.1.10", cert_file = "tests/files/host.pem" } }
  }
  expect_failures = [var.hosts]
}

run "refuses_a_certificate_that_is_not_there" {
  command = plan
  variables {
    hosts = { eu-west = { address = "10.0.1.10", ca_file = "none/ca.pem", cert_file = "tests/files/host.pem", key_file = "tests/files/host.key" } }
  }
  expect_failures = [var.hosts]
}

run "refuses_options_in_an_address" {
  command = plan
  variables {
    hosts = { eu-west = { address = "-oProxyCommand=true" } }
  }
  expect_failures = [var.hosts]
}

run "refuses_two_regions_on_one_host" {
  command = plan
  variables {
    hosts = {
      us-east = { address = "10.1.1.10", ca_file = "tests/files/ca.pem", cert_file = "tests/files/host.pem", key_file = "tests/files/host.key" }
      eu-west = { address = "10.1.1.10", ca_file = "tests/files/ca.pem", cert_file = "tests/files/host.pem", key_file = "tests/files/host.key" }
    }
  }
  expect_failures = [var.hosts]
}

run "refuses_an_unknown_role" {
  command = plan
  variables {
    hosts = { eu-west = { address = "10.0.1.10", role = "leader" } }
  }
  expect_failures = [var.hosts]
}

run "refuses_bad_variables" {
  command = plan
  variables {
    config         = "{owner: shop, regions: [eu-west, us-east, witness], host: {}}"
    package        = "tests/files/none"
    files          = { "veer.yaml" = "" }
    secret_files   = { "ca.pem" = "tests/files/token" }
    health_timeout = 1
    ssh_options    = ["-i", ""]
  }
  expect_failures = [var.config, var.package, var.files, var.secret_files, var.health_timeout, var.ssh_options]
}
