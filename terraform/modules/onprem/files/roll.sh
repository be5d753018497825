#!/bin/bash
# Takes what was brought into use. Hosts that do not run yet start together, since
# the first members wait for each other. Those that run follow one after the
# other, each only while all others are well; the first that does not get well
# ends it, and the rest runs on as it was.
set -euo pipefail
# shellcheck source=lib.sh
. "$SCRIPTS/lib.sh"

regions=()
while read -r region _; do
	regions+=("$region")
done <<<"$HOSTS"
absent=() behind=()
for region in "${regions[@]}"; do
	state=$(host "$region" state)
	read -r running current next <<<"$state"
	if [ "$running" = absent ]; then
		absent+=("$region")
	elif [ "$current" != "$next" ]; then
		behind+=("$region")
	fi
done

# unwell prints those that are not well.
unwell() {
	for region in "${regions[@]}"; do
		host "$region" well || printf '%s ' "$region"
	done
}

wait_all() {
	local end=$((SECONDS + PATIENCE)) who
	while :; do
		who=$(unwell)
		[ -n "$who" ] || return 0
		[ "$SECONDS" -lt "$end" ] || break
		sleep 1
	done
	say "not well after $PATIENCE s: $who"
	return 1
}

for region in ${absent[@]+"${absent[@]}"}; do
	say "$region: starting"
	host "$region" activate
done
if [ ${#absent[@]} -gt 0 ]; then
	if ! wait_all; then
		[ "$FORCE" = yes ] || exit 1
	fi
fi

for region in ${behind[@]+"${behind[@]}"}; do
	who=$(unwell)
	if [ -n "$who" ] && [ "$FORCE" != yes ]; then
		say "$region is not touched, since not well: $who (force = true rolls all the same)"
		exit 1
	fi
	say "$region: taking what is new"
	began=$SECONDS
	host "$region" activate
	wait_all || { say "stopped at $region; the regions after it run on as they were"; exit 1; }
	say "$region: well again after $((SECONDS - began)) s"
done
[ $((${#absent[@]} + ${#behind[@]})) -gt 0 ] || say "all hosts run it already"
