#!/bin/sh
# Runs as root before the files are put in place, some of which are its group's.
set -eu
getent group veer >/dev/null || groupadd --system veer
getent passwd veer >/dev/null || useradd --system --gid veer --home-dir /var/lib/veer --no-create-home --shell /usr/sbin/nologin veer
