// Command veer steers DNS answers away from failed regions and back. This
// package parses arguments, asks the daemon or the config, and prints; it
// decides nothing about traffic.
//
// Exit codes: 0 done or healthy, 1 error, 2 usage or invalid config, 3
// refused, 4 degraded.
package main

import (
	"context"
	"os"
)

// Stamped with -ldflags "-X main.version=...".
var (
	version = "dev"
	commit  = "unknown"
	date    = "unknown"
)

func main() {
	os.Exit(fromProcess().run(context.Background(), os.Args[1:]))
}
