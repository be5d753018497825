//go:build !(netns && linux && amd64)

package main

import "github.com/veerdns/veer/cmd/veer/daemon"

// hooks are those of a laboratory, of which only a build with the tag netns
// has any: nothing in this program plants a fault.
func hooks(func(string) (string, bool)) (daemon.Hooks, error) { return daemon.Hooks{}, nil }
