#!/bin/bash
# The test's part on the host; the first failure ends it.
. /srv/steps
mode() { stat -c '%U:%G %a' "$1"; }
config() {
	mkdir -p /etc/veer
	cp /srv/veer.yaml /srv/example.org.zone /etc/veer/
	[ -z "${1:-}" ] || echo "$1" >>/etc/veer/veer.yaml
}
runs() { systemctl is-active --quiet veer.service; }
# It votes, so that its raw socket works.
votes() { veer status -c /etc/veer/veer.yaml -o json | tr -d ' \n' | grep -q '"up":1'; }
says() { grep -q -- "$1" /srv/last; }
# also is about what the last step printed.
also() { "$@" || failed "$@"; }
gone() {
	local path
	for path; do [ ! -e "$path" ] && [ ! -L "$path" ] || { ls -ld "$path"; return 1; }; done
}

export DEBIAN_FRONTEND=noninteractive
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/test # nothing here must outlive a crash
rm -f /usr/sbin/policy-rc.d # of the machine that the test runs on

### Debian's package

name=without-config; check dpkg --install /srv/old.deb
also says 'there is no /etc/veer/veer.yaml yet'
name=enabled; check systemctl is-enabled veer.service
name=not-started; check [ "$(systemctl is-active veer.service)" = inactive ]
name=refuses-to-start; check bash -c '! systemctl start veer.service'
name=folder-is-readable; check [ "$(mode /etc/veer), $(mode /etc/veer/veer.env)" = 'root:veer 750, root:veer 640' ]
name=verifies; check dpkg --verify veer
name=purged-unused; check dpkg --purge veer

config 'nonsense: true'
name=invalid-config; check dpkg --install /srv/old.deb
also says 'is not valid, and so veer was not started'
name=invalid-not-started; check [ "$(systemctl is-active veer.service)" = inactive ]
name=purged-invalid; check dpkg --purge veer
name=nothing-left; check [ ! -e /etc/veer ]

config
name=valid-config; check dpkg --install /srv/old.deb
name=started; check runs
name=answers; wait_for answers
name=votes; wait_for votes
name=version; check bash -c 'veer version | grep -q "veer v1.0.0-rc.1 "'
name=user; check [ "$(stat -c %U "/proc/$(pid)")" = veer ]
# CAP_NET_BIND_SERVICE and CAP_NET_RAW, no more.
name=capabilities; check bash -c "[ \$(grep -c '^Cap\(Eff\|Bnd\):.*0000000000002400$' /proc/$(pid)/status) = 2 ]"
name=confined; check grep -q '^Seccomp:.*2$' "/proc/$(pid)/status"
name=read-only; check nsenter -t "$(pid)" -m sh -c '! touch /etc/veer/x && touch /var/lib/veer/x && rm /var/lib/veer/x'
name=data-is-its-own; check [ "$(mode /var/lib/veer)" = 'veer:veer 700' ]

echo '# changed here' >>/etc/veer/veer.env
before=$(pid)
while :; do
	answers 2>/dev/null || date +%s.%N >>/srv/gap
done &
asks=$!
name=upgrade; check dpkg --install --force-confold /srv/new.deb
kill $asks
name=upgrade-restarts; check [ "$(pid)" != "$before" ]
name=new-version; wait_for bash -c 'veer status -c /etc/veer/veer.yaml | grep -q "v1.0.0 in eu-west"'
name=answers-after-upgrade; wait_for answers
echo "queries without an answer during the upgrade: $([ ! -e /srv/gap ] || wc -l </srv/gap)"
name=conffile-kept; check grep -q '^# changed here' /etc/veer/veer.env
name=new-conffile-beside; check grep -q '^# of the new version' /etc/veer/veer.env.dpkg-dist

before=$(pid)
config 'nonsense: true'
name=upgrade-with-invalid-config; check dpkg --install --force-downgrade --force-confold /srv/old.deb
also says 'this version does not take /etc/veer/veer.yaml'
also says nonsense
name=not-restarted; check [ "$(pid)" = "$before" ]
name=former-answers; check answers
config
name=restart-when-mended; check systemctl restart veer.service
name=answers-when-mended; wait_for answers

before=$(pid)
name=upgrade-without-restart; check env VEER_RESTART=no dpkg --install --force-confold /srv/new.deb
name=runs-on; check [ "$(pid)" = "$before" ]

systemctl stop veer.service
name=upgrade-of-what-is-stopped; check dpkg --install --force-confold /srv/new.deb
name=stays-stopped; check [ "$(systemctl is-active veer.service)" = inactive ]
systemctl start veer.service

name=remove; check dpkg --remove veer
name=stopped; check bash -c '! pgrep -x veer'
name=config-and-data-stay; check [ -e /etc/veer/veer.yaml -a -e /etc/veer/veer.env -a -e /var/lib/veer/veer.lock ]
name=user-stays; check getent passwd veer
name=purge; check dpkg --purge veer
name=all-is-gone; check gone /etc/veer /var/lib/veer /usr/bin/veer /usr/share/doc/veer /etc/systemd/system/multi-user.target.wants/veer.service
name=user-is-gone; check bash -c '! getent passwd veer && ! getent group veer'

### The same as an RPM, whose dependencies are those of another distribution

mv /usr/bin/deb-systemd-invoke /usr/bin/deb-systemd-helper /srv/
name=rpm-install; check rpm --install --nodeps /srv/old.rpm
also says 'there is no /etc/veer/veer.yaml yet'
name=rpm-verifies; check rpm --verify --nodeps veer
config
name=rpm-start; check systemctl enable --now veer.service
name=rpm-answers; wait_for answers
echo '# changed here' >>/etc/veer/veer.env
before=$(pid)
name=rpm-upgrade; check rpm --upgrade --nodeps /srv/new.rpm
name=rpm-restarts; check [ "$(pid)" != "$before" ]
name=rpm-answers-after-upgrade; wait_for answers
name=rpm-config-kept; check grep -q '^# changed here' /etc/veer/veer.env
name=rpm-new-config-beside; check grep -q '^# of the new version' /etc/veer/veer.env.rpmnew
before=$(pid)
config 'nonsense: true'
name=rpm-upgrade-with-invalid-config; check rpm --upgrade --nodeps --oldpackage /srv/old.rpm
also says 'this version does not take /etc/veer/veer.yaml'
name=rpm-not-restarted; check [ "$(pid)" = "$before" ]
name=rpm-former-answers; check answers
name=rpm-erase; check rpm --erase veer
name=rpm-stopped; check bash -c '! pgrep -x veer'
name=rpm-config-and-data-stay; check [ -e /etc/veer/veer.yaml -a -e /etc/veer/veer.env.rpmsave -a -e /var/lib/veer/veer.lock ]
name=rpm-binary-is-gone; check [ ! -e /usr/bin/veer ]

echo 'the end'
