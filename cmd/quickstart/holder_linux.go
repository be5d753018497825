package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holder names the program that has a port, as far as this user may see it.
func holder(network, at string) string {
	const unknown = "a program that this user may not see (try: sudo ss -lntup)"
	want, err := netip.ParseAddrPort(at)
	if err != nil {
		return unknown
	}
	var inodes []string
	for _, table := range []string{network, network + "6"} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		inodes = append(inodes, sockets(string(b), network, want.Port())...)
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return unknown
	}
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !slices.Contains(inodes, to) {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		comm, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(comm)), pid)
	}
	return unknown
}

// sockets returns the sockets, as /proc/PID/fd links to them, that wait on a
// port at any address (proc_net_tcp.txt of the kernel's documentation).
func sockets(table, network string, port uint16) []string {
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		_, hex, ok := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(hex, 16, 16)
		if !ok || err != nil || uint16(n) != port || (network == "tcp" && f[3] != "0A") {
			continue
		}
		out = append(out, "socket:["+f[9]+"]")
	}
	return out
}
