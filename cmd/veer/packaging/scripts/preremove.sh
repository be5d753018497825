#!/bin/sh
# Runs as root before the files go. dpkg says "remove" or "upgrade VERSION", rpm 0
# (removed) or 1 (upgraded). On an upgrade what runs runs on.
set -eu
case $1 in
remove | 0) ;;
*) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
if [ -x /usr/bin/deb-systemd-invoke ]; then
	deb-systemd-invoke stop veer.service
else
	systemctl --no-reload disable --now veer.service
fi
