// Package rfc2136 is a providers.Provider of zones on a server that takes DNS
// UPDATE (RFC 2136): BIND, Knot, PowerDNS and others.
//
// A write is one UPDATE message, so it is done whole or not at all (RFC 2136,
// section 3.4.2.7). Its prerequisites are the old fence and each set that is
// replaced or deleted, exactly (section 2.4.2), and for each set that is made
// that there is none (2.4.3): what somebody changed meanwhile refuses it.
//
// Requests are signed and replies proven by TSIG (RFC 8945), and sent to the
// primary itself, over UDP where they fit and TCP where they do not. Zones are
// read by AXFR (RFC 5936) or, where the primary gives none, by queries.
package rfc2136
