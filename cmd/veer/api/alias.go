package api

import "time"

// Alias is what a daemon's DNS server knows of a host whose addresses a service
// is answered with.
type Alias struct {
	Host      string   `json:"host"`
	Addresses []string `json:"addresses"` // the last good ones; empty: never looked up
	// Age is how long ago a resolver told them.
	Age time.Duration `json:"age,omitempty"`
	// Stale: they should have been renewed by now.
	Stale bool `json:"stale,omitempty"`
	// Failed is how many look-ups in a row failed, Problem why the last one did.
	Failed  int    `json:"failed,omitempty"`
	Problem string `json:"problem,omitempty"`
}
