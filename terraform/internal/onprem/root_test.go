//go:build realservers

package onprem

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// What a host has beyond the least of Debian: it boots, and lets an administrator
// in by SSH, who becomes root by sudo.
const rootPackages = "systemd-sysv,dbus,openssh-server,sudo"

// finishRoot is run in the new root. A host gets a name and an SSH key of its own;
// there is no name server to ask for names, so that sudo must find it without.
const finishRoot = `set -eu
rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/resolv.conf
echo '127.0.0.1 localhost eu-west us-east ap-south' >/etc/hosts
useradd --create-home --shell /bin/bash deploy
install -d -o deploy -g deploy -m 0700 /home/deploy/.ssh
echo 'deploy ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/deploy
printf 'UseDNS no\n' >/etc/ssh/sshd_config.d/test.conf
apt-get clean
rm -rf /var/lib/apt/lists/*
`

// debianRoot is the root folder that all hosts start from, made by debootstrap if
// the cache does not have it.
func debianRoot() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder for the hosts' root (set XDG_CACHE_HOME): %w", err)
	}
	mirror, suite, err := mirrorOfApt()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(strings.Join([]string{mirror, suite, rootPackages, finishRoot}, "\x00")))
	cache = filepath.Join(cache, "veer")
	root := filepath.Join(cache, "host-"+suite+"-"+hex.EncodeToString(key[:6]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(root+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() //nolint:errcheck // nothing is written to it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	fmt.Printf("making %s from %s; this is done once\n", root, mirror)
	half := root + ".half" // of a run that was stopped
	for _, args := range [][]string{
		{"rm", "-rf", half},
		{"debootstrap", "--variant=minbase", "--include=" + rootPackages, suite, half, mirror},
		{"chroot", half, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", finishRoot},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("make the hosts' root: %s: %w\n%s", args[0], err, lastLines(out))
		}
	}
	return root, os.Rename(half, root)
}

func lastLines(out []byte) string {
	return regexp.MustCompile(`(?s)^.*((?:\n[^\n]*){30})$`).ReplaceAllString(string(out), "$1")
}

// mirrorOfApt is where this machine gets its own release from.
func mirrorOfApt() (mirror, suite string, err error) {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", "", err
	}
	m := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(release)
	if m == nil {
		return "", "", fmt.Errorf("/etc/os-release has no VERSION_CODENAME: the hosts are of this machine's Debian")
	}
	suite = string(m[1])
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return "", "", fmt.Errorf("ask apt for its mirror: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if of, uri, _ := strings.Cut(strings.TrimSpace(line), " "); of == suite {
			return uri, suite, nil
		}
	}
	return "", "", fmt.Errorf("apt has no source for %s: it names\n%s", suite, out)
}
