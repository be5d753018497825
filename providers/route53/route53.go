// Package route53 writes answers into zones of Amazon Route 53.
package route53
