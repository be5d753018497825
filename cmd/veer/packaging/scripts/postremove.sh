#!/bin/sh
# Runs as root when the files are gone. dpkg says "remove", later perhaps "purge";
# rpm 0 (removed) or 1 (upgraded). Only a purge takes config, data and user.
set -eu
case $1 in
remove | purge | 0) ;;
*) exit 0 ;;
esac
[ ! -d /run/systemd/system ] || systemctl daemon-reload
if [ "$1" = purge ]; then
	if [ -x /usr/bin/deb-systemd-helper ]; then
		deb-systemd-helper purge veer.service >/dev/null || true
		deb-systemd-helper unmask veer.service >/dev/null || true
	fi
	rm -rf /etc/veer /var/lib/veer
	! getent passwd veer >/dev/null || userdel veer
	! getent group veer >/dev/null || groupdel veer
fi
