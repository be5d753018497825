package rfc2136

import (
	"crypto/sha256"
	"crypto/sha512"
	"hash"
)

// algorithms are those that are taken (RFC 8945, section 6, whose others are
// old, or shorten the MAC).
func algorithms() map[string]func() hash.Hash {
	return map[string]func() hash.Hash{"hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New}
}
