//go:build realservers

package modules

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// box is a root folder in which a host's scripts run for real: this machine's
// own, with what they write kept aside, in a mount namespace of each run. Its
// systemctl and aws are stubs that write down what they are asked.
type box struct {
	t   *testing.T
	dir string // what was written is in dir/up
}

// enter.sh DIR COMMAND... runs the command in the box.
const enterScript = `#!/bin/sh
exec unshare --mount --propagation private sh -euc '
	d=$1
	shift
	mount -t overlay overlay -o "lowerdir=/,upperdir=$d/up,workdir=$d/work" "$d/root"
	mount --rbind /dev "$d/root/dev"
	mount --rbind /proc "$d/root/proc"
	mount -t tmpfs -o size=64m none "$d/root/tmp"
	exec chroot "$d/root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
' enter "$@"
`

// The unit runs when /srv/stub/active is there. /srv/stub/log has every call.
const systemctlStub = `#!/bin/sh
echo "systemctl $*" >>/srv/stub/log
case "$*" in
*is-active*) [ -e /srv/stub/active ] ;;
"restart veer.service" | "start veer.service") touch /srv/stub/active ;;
*disable*veer.service*) rm -f /srv/stub/active ;;
esac
`

// Parameters are files below /srv/ssm.
const awsStub = `#!/bin/bash
echo "aws $*" >>/srv/stub/log
action="$1 $2"
name= path=
while [ $# -gt 0 ]; do
	case $1 in
	--name) name=$2 ;;
	--path) path=$2 ;;
	esac
	shift
done
case $action in
"ssm get-parameter")
	[ -f "/srv/ssm$name" ] || { echo "An error occurred (ParameterNotFound): $name" >&2; exit 254; }
	cat "/srv/ssm$name"
	echo
	;;
"ssm get-parameters-by-path")
	for f in /srv/ssm"$path"/*; do [ ! -e "$f" ] || printf '%s\t' "${f#/srv/ssm}"; done
	echo
	;;
*) echo "the stub knows nothing of: $action" >&2; exit 2 ;;
esac
`

// curl --output FILE URL copies /srv/release.
const curlStub = `#!/bin/bash
echo "curl $*" >>/srv/stub/log
while [ $# -gt 1 ]; do
	[ "$1" != --output ] || to=$2
	shift
done
cp /srv/release "$to"
`

// A veer that validates as the real one does. Without a daemon, whether it is
// well is told by /srv/stub/unwell, and by its own text.
const veerStub = `#!/bin/sh
# VERSION
case $1 in
validate) exec /srv/veer "$@" ;;
member) [ ! -e /srv/stub/members-unwell ] ;;
status)
	! grep -q '^# .*NEVER-WELL' "$0" || exit 1
	[ ! -e /srv/stub/unwell ] || exit 1
	echo '{"vantages": [{"name": "eu-west", "fresh": true}]}'
	exit 4
	;;
esac
`

func newBox(t *testing.T, dir string) *box {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes mounts and a chroot: run it as root")
	}
	b := &box{t: t, dir: dir}
	for _, sub := range []string{"up/srv/stub", "up/usr/local/bin", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.put("usr/local/bin/systemctl", systemctlStub)
	b.put("usr/local/bin/aws", awsStub)
	b.put("usr/local/bin/curl", curlStub)
	data, err := os.ReadFile(made.veer)
	if err != nil {
		t.Fatal(err)
	}
	b.put("srv/veer", string(data))
	return b
}

// put writes a file of the box.
func (b *box) put(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, "up", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) remove(name string) {
	b.t.Helper()
	if err := os.Remove(filepath.Join(b.dir, "up", name)); err != nil {
		b.t.Fatal(err)
	}
}

// read is the text of a file of the box; absent is "".
func (b *box) read(name string) string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, "up", name))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	return string(data)
}

// calls are what the stubs were asked since the last time.
func (b *box) calls() string {
	b.t.Helper()
	text := b.read("srv/stub/log")
	b.put("srv/stub/log", "")
	return text
}

func enter(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "enter.sh")
	if err := os.WriteFile(path, []byte(enterScript), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a command in the box.
func (b *box) run(env []string, args ...string) (string, error) {
	b.t.Helper()
	all := append([]string{enter(b.t), b.dir, "env"}, env...)
	cmd := exec.CommandContext(b.t.Context(), "sh", append(all, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (b *box) must(args ...string) string {
	b.t.Helper()
	out, err := b.run(nil, args...)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
