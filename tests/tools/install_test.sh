#!/bin/sh
# usage: install_test.sh BUILD - what `make install` puts where, that it keeps a
# configuration that was edited, and that `make uninstall` leaves only that. BUILD is
# the gcc tree of check.py, whose variables are repeated here so as not to rebuild it.
set -eu

root=${TMPDIR:-/tmp}/install.$$
trap 'rm -rf "$root"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL || :

mk() {
	make -s --no-print-directory O="$1" CC=gcc WERROR=1 DESTDIR="$root" PREFIX=/usr "$2"
}

there() {
	[ -f "$root$1" ] || {
		echo "install: no $1; there is:"
		find "$root" -type f
		exit 1
	}
}

mk "$1" install
for f in /usr/bin/slipring /usr/lib/systemd/system/slipring.service \
	/usr/lib/sysusers.d/slipring.conf /etc/slipring/slipring.yaml \
	/usr/share/doc/slipring/LICENSE /usr/include/slipring/plugin.h \
	/usr/share/doc/slipring/examples/tenants.yaml; do
	there $f
done
"$root/usr/bin/slipring" --version
unit=$root/usr/lib/systemd/system/slipring.service
grep -q '^ExecStart=/usr/bin/slipring ' "$unit" ||
	{ echo "install: the unit does not start /usr/bin/slipring"; exit 1; }
page=$(sed -n 's|^Documentation=file://||p' "$unit")
[ -n "$page" ] && [ -f "$root$page" ] ||
	{ echo "install: the unit names documentation that is not there: $page"; exit 1; }

docs=$root/usr/share/doc/slipring
for page in "$docs"/*.md; do
	for link in $(grep -o '\](\w[^):]*)' "$page" | sed 's/^](//; s/)$//; s/#.*//'); do
		[ -e "$docs/$link" ] || { echo "install: $page links to $link, which is not there"; exit 1; }
	done
done

echo '# mine' >"$root/etc/slipring/slipring.yaml"
mk "$1" install
[ "$(cat "$root/etc/slipring/slipring.yaml")" = '# mine' ] ||
	{ echo "install: an edited configuration was overwritten"; exit 1; }

mk "$1" uninstall
left=$(find "$root" -type f)
[ "$left" = "$root/etc/slipring/slipring.yaml" ] ||
	{ echo "uninstall: left behind: $left"; exit 1; }
