# Read by the other scripts. HOSTS has lines "REGION ADDRESS PORT USER",
# SSH_OPTIONS an argument a line.

say() { echo "veer: $*" >&2; }

# on REGION COMMAND: COMMAND as root on the host, with this standard input.
on() {
	local region=$1 address port user
	shift
	read -r _ address port user < <(grep "^$region " <<<"$HOSTS")
	local options=() option
	while read -r option; do
		[ -z "$option" ] || options+=("$option")
	done <<<"$SSH_OPTIONS"
	local become=
	[ "$user" = root ] || become="sudo -n "
	ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 \
		${options[@]+"${options[@]}"} -p "$port" -l "$user" -- "$address" "$become$*"
}

# host REGION ACTION...: host.sh on it.
host() {
	local region=$1
	shift
	on "$region" "sh -s -- $*" <"$SCRIPTS/host.sh"
}
