// Package cloudflare writes zones at Cloudflare by its v4 API.
package cloudflare
