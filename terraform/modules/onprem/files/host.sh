#!/bin/sh
# Runs as root on a host: check, state, activate, well, or remove [data].
set -eu
umask 077

work=/var/lib/veer-deploy
next=$work/next
etc=/etc/veer
bin=/usr/bin/veer

say() { echo "veer: $(hostname): $*" >&2; }

# binary puts the binary of the package in $next at $next/veer.
binary() {
	if [ -f "$next/veer.deb" ]; then
		dpkg-deb --fsys-tarfile "$next/veer.deb" | tar -xOf - ./usr/bin/veer >"$next/veer"
	elif [ -f "$next/veer.rpm" ]; then
		rpm2cpio "$next/veer.rpm" | cpio --quiet -i --to-stdout ./usr/bin/veer >"$next/veer"
	else
		cp "$next/veer.binary" "$next/veer"
	fi
	chmod 0755 "$next/veer"
}

check() {
	binary
	if ! "$next/veer" validate -c "$next/etc/veer.yaml" >"$next/validate" 2>&1; then
		cat "$next/validate" >&2
		say "what came is not valid; what runs is not touched"
		exit 1
	fi
}

# state: absent or running, the hash of what runs, the hash of what came.
state() {
	running=absent
	! systemctl is-active --quiet veer.service || running=running
	echo "$running $(cat $work/hash 2>/dev/null || echo none) $(cat $next/hash 2>/dev/null || echo none)"
}

# put copies a file by renaming a new one.
put() {
	install -o root -g "$3" -m "$4" "$1" "$2.new"
	mv -f "$2.new" "$2"
}

activate() {
	getent passwd veer >/dev/null || useradd --system --user-group --home-dir /var/lib/veer --shell /usr/sbin/nologin veer
	install -d -o root -g veer -m 0750 $etc $etc/secrets
	(cd "$next/etc" && find . -type f) | while read -r file; do
		put "$next/etc/$file" "$etc/$file" veer 0640
	done
	# What was here before and is not any more.
	(cd $etc && find . -type f) | while read -r file; do
		[ -e "$next/etc/$file" ] || rm -f "$etc/$file"
	done
	# The package leaves the restart to us.
	if [ -f "$next/veer.deb" ]; then
		VEER_RESTART=no DEBIAN_FRONTEND=noninteractive dpkg --install --force-confold --force-downgrade "$next/veer.deb" >&2
	elif [ -f "$next/veer.rpm" ]; then
		VEER_RESTART=no rpm --upgrade --replacepkgs --oldpackage "$next/veer.rpm" >&2
	else
		put "$next/veer" $bin root 0755
		put "$next/veer.service" /etc/systemd/system/veer.service root 0644
	fi
	# A package has a unit of its own; what it starts is said here.
	install -d -m 0755 /etc/systemd/system/veer.service.d
	cat >$work/drop-in <<-'END'
		[Service]
		EnvironmentFile=/etc/veer/veer.env
		ExecStart=
		ExecStart=/usr/bin/veer run -c /etc/veer/veer.yaml --role ${VEER_ROLE}
	END
	put $work/drop-in /etc/systemd/system/veer.service.d/terraform.conf root 0644
	cp "$next/members" $work/members
	systemctl daemon-reload
	systemctl enable --quiet veer.service
	systemctl restart veer.service
	cp "$next/hash" $work/hash
}

# well: it runs, all members do, and every vantage votes.
well() {
	systemctl is-active --quiet veer.service || exit 1
	if [ "$(cat $work/members)" -gt 1 ]; then
		$bin member list -c $etc/veer.yaml >/dev/null 2>&1 || exit 1
	fi
	code=0
	status=$($bin status -c $etc/veer.yaml -o json 2>/dev/null) || code=$?
	# 4: with warnings, such as an endpoint that is down.
	[ $code -eq 0 ] || [ $code -eq 4 ] || exit 1
	case $status in *'"fresh": false'* | *'"fresh":false'*) exit 1 ;; esac
}

remove() {
	systemctl disable --now --quiet veer.service || true
	rm -rf /etc/systemd/system/veer.service /etc/systemd/system/veer.service.d $etc $work
	systemctl daemon-reload
	if command -v dpkg >/dev/null && dpkg -s veer >/dev/null 2>&1; then
		# A purge takes the data and the user.
		how=--remove
		[ "${1:-}" != data ] || how=--purge
		DEBIAN_FRONTEND=noninteractive dpkg $how veer >&2
	elif command -v rpm >/dev/null && rpm -q veer >/dev/null 2>&1; then
		rpm --erase veer >&2
	fi
	rm -f $bin
	[ "${1:-}" != data ] || rm -rf /var/lib/veer
}

# This script is its own standard input: nothing that it calls may read on.
"$@" </dev/null
