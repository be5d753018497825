#!/bin/bash
# Brings what a host is to run to it, and has it checked there.
set -euo pipefail
# shellcheck source=lib.sh
. "$SCRIPTS/lib.sh"

umask 077
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/etc/secrets"
base64 -d <<<"$VEER_YAML" >"$dir/etc/veer.yaml"
base64 -d <<<"$HOST_YAML" >"$dir/etc/host.yaml"
base64 -d <<<"$UNIT" >"$dir/veer.service"
while read -r name path; do
	[ -z "$name" ] || cat "$path" >"$dir/etc/secrets/$name"
done <<<"$SECRETS"
while read -r name text; do
	[ -z "$name" ] || base64 -d <<<"$text" >"$dir/etc/$name"
done <<<"$FILES"
printf 'VEER_REGION=%s\nVEER_ROLE=%s\n' "$REGION" "$ROLE" >"$dir/etc/veer.env"
cat "$PACKAGE" >"$dir/veer.$KIND"
printf '%s\n' "$MEMBERS" >"$dir/members"
printf '%s\n' "$HASH" >"$dir/hash"

next=/var/lib/veer-deploy/next
say "$REGION: bringing it there"
tar -C "$dir" -cf - . | on "$REGION" "sh -c 'umask 077 && rm -rf $next && mkdir -p $next && tar -C $next --no-same-owner -xf -'"
host "$REGION" check
