#!/bin/sh
# Runs as root when the files are in place. dpkg says "configure [OLD VERSION]",
# rpm 1 (installed) or 2 (upgraded). The service is started, or started anew, only
# with a config that this version takes; until then what runs is not touched.
# With VEER_RESTART=no that is left to whoever installs.
set -eu

config=/etc/veer/veer.yaml

say() { echo "veer: $*" >&2; }

# valid: the daemon would take the config, with the variables of veer.env.
valid() (
	set --
	if [ -r /etc/veer/veer.env ]; then
		while read -r line; do
			value=${line#*=}
			case $value in
			\"*\") value=${value#\"} value=${value%\"} ;;
			\'*\') value=${value#\'} value=${value%\'} ;;
			esac
			case $line in VEER_*=*) set -- "$@" "${line%%=*}=$value" ;; esac
		done </etc/veer/veer.env
	fi
	runuser -u veer -- env VEER_DATA_DIR=/var/lib/veer "$@" /usr/bin/veer validate -c $config >/dev/null
)

# act ACTION: systemctl ACTION, unless the administrator's policy forbids it.
act() {
	if [ -x /usr/bin/deb-systemd-invoke ]; then
		deb-systemd-invoke "$1" veer.service
	else
		systemctl "$1" veer.service
	fi
}

# On Debian a service is enabled unless its administrator disabled it; others
# have a policy for that.
enable() {
	if [ -x /usr/bin/deb-systemd-helper ]; then
		deb-systemd-helper unmask veer.service >/dev/null || true
		if deb-systemd-helper --quiet was-enabled veer.service; then
			deb-systemd-helper enable veer.service >/dev/null || true
		else
			deb-systemd-helper update-state veer.service >/dev/null || true
		fi
	elif [ "$1" = installed ] && command -v systemctl >/dev/null; then
		systemctl --no-reload preset veer.service >/dev/null 2>&1 || true
	fi
}

installed() {
	if [ ! -e $config ]; then
		say "there is no $config yet: see /usr/share/doc/veer/examples, then systemctl enable --now veer"
	elif ! valid; then
		say "$config is not valid, and so veer was not started; see veer validate, then systemctl enable --now veer"
	elif [ -x /usr/bin/deb-systemd-invoke ]; then
		act start || true
	fi
}

upgraded() {
	systemctl is-active --quiet veer.service || return 0
	if systemctl reload veer.service; then
		act restart || true
	else
		say "this version does not take $config, and so the former one runs on. Mend what veer validate says, then: systemctl restart veer"
		journalctl --unit veer.service --lines 20 --output cat --no-pager >&2 || true
	fi
}

case "$1 ${2:-}" in
"configure ") what=installed ;;
"1 "*) what=installed ;;
"configure "* | "2 "*) what=upgraded ;;
*) exit 0 ;;
esac
enable $what
# In a chroot, as when an image is made, nothing runs.
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
if [ "${VEER_RESTART:-}" != no ]; then
	$what
fi
