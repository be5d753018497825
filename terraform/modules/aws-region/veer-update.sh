#!/bin/bash
# Brings this host to what its parameters in SSM say: veer.yaml, host.yaml, other
# files, secrets, and the binary. A config or binary that is new is taken only if
# it is valid and all members of the cluster are well, and is put back if Veer
# does not get well with it. Run by veer-update.timer, at another time in every
# region. What Veer did not get well with is not tried again. --force does, and
# leaves the look at the other members out.
set -euo pipefail
umask 077

# PREFIX, MEMBERS (how many there are), AWS_DEFAULT_REGION, PATIENCE (seconds)
# shellcheck source=/dev/null
. /etc/veer-update.conf
export AWS_DEFAULT_REGION

etc=/etc/veer
bin=/usr/bin/veer
work=/var/lib/veer-update
print= # of what SSM has, as a hash
force=${1:-}

say() { echo "veer-update: $*" >&2; }

parameter() {
	aws ssm get-parameter --name "$PREFIX/$1" --with-decryption --query Parameter.Value --output text
}

# names NAME... of the parameters in a folder; none is no error.
names() {
	local all
	all=$(aws ssm get-parameters-by-path --path "$PREFIX/$1" --query 'Parameters[].Name' --output text)
	for name in $all; do
		[ "$name" = None ] || echo "${name##*/}"
	done
}

unpack() { base64 -d | gzip -dc; }

# fetch puts all of it into $work/new.
fetch() {
	local name sha url
	rm -rf "$work/new"
	mkdir -p "$work/new/etc/secrets"
	parameter config | unpack >"$work/new/etc/veer.yaml"
	parameter host >"$work/new/etc/host.yaml"
	for name in $(names files); do
		parameter "files/$name" | unpack >"$work/new/etc/$name"
	done
	for name in $(names secrets); do
		parameter "secrets/$name" >"$work/new/etc/secrets/$name"
	done
	parameter release >"$work/new/release"
	read -r sha url <"$work/new/release"
	print=$( (cd "$work/new" && find . -type f -exec sha256sum {} + | sort) | sha256sum)
	if [ "$force" != --force ] && [ "$print" = "$(cat "$work/refused" 2>/dev/null)" ]; then
		say "Veer did not get well with what SSM has, and it is the same still; change it, or veer-update --force"
		exit 1
	fi
	if [ -x "$bin" ] && echo "$sha  $bin" | sha256sum --check --status; then
		ln -s "$bin" "$work/new/veer"
		return
	fi
	case $url in
	s3://*) aws s3 cp --only-show-errors "$url" "$work/new/veer" ;;
	*) curl --fail --silent --show-error --location --retry 3 --output "$work/new/veer" "$url" ;;
	esac
	if ! echo "$sha  $work/new/veer" | sha256sum --check --status; then
		say "$url does not have the SHA-256 $sha: it is not used"
		exit 1
	fi
	chmod 0755 "$work/new/veer"
}

# changed says what differs: binary, config, secrets, certificate, files.
changed() {
	local name
	[ -L "$work/new/veer" ] || echo binary
	for name in veer.yaml host.yaml; do
		cmp -s "$work/new/etc/$name" "$etc/$name" || echo config
	done
	for name in "$work"/new/etc/secrets/*; do
		[ -e "$name" ] || continue
		name=${name##*/}
		cmp -s "$work/new/etc/secrets/$name" "$etc/secrets/$name" && continue
		case $name in
		host.pem | host.key) echo certificate ;; # read anew at each connection
		*) echo secrets ;;
		esac
	done
	for name in "$work"/new/etc/*; do
		name=${name##*/}
		case $name in secrets | veer.yaml | host.yaml) continue ;; esac
		cmp -s "$work/new/etc/$name" "$etc/$name" || echo files
	done
	gone "$work/new/etc" | while read -r name; do
		case $name in secrets/*) echo secrets ;; *) echo files ;; esac
	done
}

# gone FROM: what is in place and not in the tree. veer.env is the start script's.
gone() {
	[ ! -d "$etc" ] || (cd "$etc" && find . -type f) | while read -r name; do
		name=${name#./}
		[ "$name" = veer.env ] || [ -e "$1/$name" ] || echo "$name"
	done
}

# put FROM puts a tree in place, each file by renaming a new one.
put() {
	local file to
	install -d -o root -g veer -m 0750 "$etc" "$etc/secrets"
	(cd "$1/etc" && find . -type f) | while read -r file; do
		to=$etc/${file#./}
		install -o root -g veer -m 0640 "$1/etc/$file" "$to.new"
		mv -f "$to.new" "$to"
	done
	gone "$1/etc" | while read -r file; do
		rm -f "${etc:?}/$file"
	done
	if [ -f "$1/veer" ] && [ ! -L "$1/veer" ]; then
		install -o root -g root -m 0755 "$1/veer" "$bin.new"
		mv -f "$bin.new" "$bin"
	fi
}

# keep saves what is in place, to go back to.
keep() {
	rm -rf "$work/old"
	mkdir -p "$work/old"
	[ ! -d "$etc" ] || cp -a "$etc" "$work/old/etc"
	[ ! -e "$bin" ] || cp -a "$bin" "$work/old/veer"
}

# 4: well, with warnings, such as an endpoint that is down.
answers() {
	local code=0
	"$bin" status >/dev/null 2>&1 || code=$?
	[ "$code" -eq 0 ] || [ "$code" -eq 4 ]
}

members_well() { [ "$MEMBERS" -lt 2 ] || "$bin" member list >/dev/null 2>&1; }

gets_well() {
	local end=$((SECONDS + PATIENCE))
	while [ "$SECONDS" -lt "$end" ]; do
		if answers && members_well; then return 0; fi
		sleep 1
	done
	return 1
}

runs=no
! systemctl is-active --quiet veer.service || runs=yes
# Where Veer runs, what failed waits for the next time of this region's own (3:
# see veer-update.service): all regions that tried again at once, when something
# was mended, could restart at once.
trap 'code=$?; [ "$code" -eq 0 ] || [ $runs = no ] || exit 3' EXIT

mkdir -p "$work"
exec 9>"$work/lock"
flock --nonblock 9 || { say "another run is under way"; exit 0; }

fetch
what=$(changed | sort -u | tr '\n' ' ')
if [ -z "$what" ] && [ $runs = yes ]; then
	exit 0
fi

if ! "$work/new/veer" validate -c "$work/new/etc/veer.yaml" >"$work/validate" 2>&1; then
	cat "$work/validate" >&2
	say "what SSM has is not valid; all stays as it was"
	exit 1
fi

case " $what" in
*" binary "* | *" config "* | *" secrets "*) restart=yes ;;
*) restart=no ;;
esac
[ $runs = yes ] || restart=yes

if [ $restart = yes ] && [ $runs = yes ] && [ "$force" != --force ] && ! members_well; then
	say "${what}changed, but another member is not well: a restart now could cost the quorum; next time, or veer-update --force"
	exit 1
fi

say "${what:-nothing }changed; restart: $restart"
keep
put "$work/new"
if [ $restart = no ]; then
	case " $what" in *" files "*) systemctl reload veer.service ;; esac
	exit 0
fi
systemctl restart veer.service
if [ $runs = no ]; then
	say "started" # the first members wait for each other
	exit 0
fi
if gets_well; then
	say "well again"
	rm -f "$work/refused"
	exit 0
fi
say "not well after $PATIENCE s: going back to what was there"
put "$work/old"
systemctl restart veer.service
echo "$print" >"$work/refused"
exit 1
