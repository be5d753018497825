package authority

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holders names the processes that listen on the port over UDP or TCP, as
// "nsd (pid 123)". It knows what /proc tells this user, and on systems
// without a /proc nothing.
func holders(port uint16) []string {
	inodes := make(map[string]bool)
	for _, file := range []string{"udp", "udp6", "tcp", "tcp6"} {
		addInodes(inodes, "/proc/net/"+file, port)
	}
	if len(inodes) == 0 {
		return nil
	}
	var names []string
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(target, "socket:[")
		if !ok || !inodes[strings.TrimSuffix(inode, "]")] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		comm, err := os.ReadFile("/proc/" + pid + "/comm") // #nosec G304 -- a process number
		if err != nil {
			continue
		}
		names = append(names, fmt.Sprintf("%s (pid %s)", bytes.TrimSpace(comm), pid))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// addInodes adds the sockets in a table of /proc/net that have the port and no
// peer.
func addInodes(inodes map[string]bool, table string, port uint16) {
	f, err := os.Open(table) // #nosec G304 -- a constant
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		_, local, _ := strings.Cut(fields[1], ":")
		_, remote, _ := strings.Cut(fields[2], ":")
		if n, err := strconv.ParseUint(local, 16, 16); err == nil && uint16(n) == port && remote == "0000" {
			inodes[fields[9]] = true
		}
	}
}
