// Package onprem applies the module onprem for real: Terraform, over SSH, onto
// three hosts that boot systemd, in a network of their own, while a resolver asks
// their name servers. Its tests carry the tag realservers, and need root,
// Terraform, veer's binary in VEER, and of Debian debootstrap, systemd-container,
// openssh-client and iproute2; `make test-terraform` says what is missing.
//
// The hosts' root folder is made once a month, and kept in the user's cache folder.
package onprem
