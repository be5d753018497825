//go:build !linux

package httpcheck_test

// onEngine: there is no engine on this system.
var onEngine maker
