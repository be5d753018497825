// Package certs makes, reads and judges the certificates by which members and
// clients of the cluster know each other: a small CA of one owner, and one
// certificate for each region.
//
// It holds no clock: the time is passed in. What is made is ECDSA P-256. What
// is read may be of any other CA and is hostile until parsed: it is bounded,
// and an error names the file, what was found and what was expected, and holds
// nothing of a key. A file is written whole or not at all, and replaces another
// only where that is asked for.
package certs
