// Package e2e tests Veer as its users run it: the built binary in processes of
// its own, joined by a unix socket, killed and stopped by signals, and asked
// with dig. Its tests have the build tag realservers, since dig is Debian's.
package e2e
