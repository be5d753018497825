// Package rfc2136 writes the zones of a server that takes DNS UPDATE: BIND,
// Knot, PowerDNS and others.
package rfc2136
