//go:build realservers

package onprem

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// rootOf names the hosts' root folder for the process within.
const rootOf = "VEER_TEST_HOST_ROOT"

// TestMain makes the hosts' root, and then runs the tests in a process that is
// alone in a network namespace: its addresses are nobody else's, and the kernel
// takes all of it away when the process ends.
func TestMain(m *testing.M) {
	if os.Getenv(rootOf) != "" {
		if err := router(); err != nil {
			fmt.Fprintln(os.Stderr, "make the network of the hosts:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if err := within(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "the module onprem cannot be tested:", err)
		os.Exit(1)
	}
}

func within() error {
	for _, name := range []string{"VEER", "VEER_DEB"} {
		if path := os.Getenv(name); !filepath.IsAbs(path) {
			return fmt.Errorf("%s is %q: expected the path of veer's binary in VEER, and that of its Debian package in VEER_DEB; make test-terraform builds both", name, path)
		}
	}
	if os.Getuid() != 0 {
		return errors.New("it boots hosts: run it as root")
	}
	for command, of := range map[string]string{
		terraform(): "Terraform 1.11 or newer, in PATH or by its path in TERRAFORM", "debootstrap": "the package debootstrap",
		"systemd-nspawn": "the package systemd-container", "ssh": "the package openssh-client", "ip": "the package iproute2", "ar": "the package binutils",
	} {
		if _, err := exec.LookPath(command); err != nil {
			return fmt.Errorf("%s is needed: %w", of, err)
		}
	}
	root, err := debianRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), rootOf+"="+root)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	return cmd.Run()
}

// router makes this process's network that of the router between the hosts.
func router() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

func terraform() string {
	if path := os.Getenv("TERRAFORM"); path != "" {
		return path
	}
	return "terraform"
}

// What a host has beyond the least of Debian: it boots, and lets an administrator
// in by SSH, who becomes root by sudo.
const rootPackages = "systemd-sysv dbus openssh-server sudo"

// finishRoot is run in the new root. A host gets a name and an SSH key of its own;
// there is no name server to ask for names, so that sudo must find it without.
const finishRoot = `
rm -f /etc/ssh/ssh_host_* /etc/hostname
echo '127.0.0.1 localhost eu-west us-east ap-south' >/etc/hosts
useradd --create-home --shell /bin/bash deploy
install -d -o deploy -g deploy -m 0700 /home/deploy/.ssh
echo 'deploy ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/deploy
printf 'UseDNS no\n' >/etc/ssh/sshd_config.d/test.conf
`

// debianRoot is the root folder that all hosts start from.
func debianRoot() (string, error) {
	cmd := exec.Command("../../../.ci/root", rootPackages, finishRoot)
	cmd.Stderr = os.Stderr
	root, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("make the hosts' root: %w", err)
	}
	return strings.TrimSpace(string(root)), nil
}
