#!/bin/sh
# Makes a Debian 12 machine ready: setup.sh [build|check|demo]
#
#   build  compiler and libraries
#   check  also what the tests need; DynamoDB Local, Kafka and OpenSearch in the cache
#   demo   what the demo needs, and DynamoDB Local in the cache if it can be had
#
# Installs only what is missing, as root or through sudo, and is done in a
# moment when nothing is. SLIPRING_CACHE says where downloads are kept (outside
# the tree, so that they outlive `make clean`). SKIP_SERVICES=1 leaves Java, the
# downloads and PostgreSQL alone.
set -eu

cd "$(dirname "$0")/../.."
what=${1:-build}
cache=${SLIPRING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipring}
# Also in NAME/pom.xml, tests/system/support.py and tests/system/services.py.
dynamodb_version=2.5.4
kafka_version=3.9.1
opensearch_version=2.19.1

build="gcc libc6-dev make pkg-config libevent-dev libcurl4-openssl-dev libjansson-dev
	libsqlite3-dev libyaml-dev libssl-dev zlib1g-dev librdkafka-dev libpq-dev liblua5.4-dev python3
	ca-certificates"
test_only="libcmocka-dev clang-14 clang-format-14 libclang-rt-14-dev llvm-14
	python3-botocore git patch"
# prometheus is there for promtool alone.
services="postgresql python3-psycopg2 python3-confluent-kafka prometheus"

say() {
	printf 'setup: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		die "not root and no sudo; ask an administrator for: apt-get install" $missing
	fi
}

# Those of its arguments that are not installed.
missing_of() {
	have=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || :)"
	for p in "$@"; do
		case $have in
		*" installed:$p "*) ;;
		*) printf '%s ' "$p" ;;
		esac
	done
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1
}

need() {
	command -v apt-get >/dev/null 2>&1 ||
		die "no apt-get here; install by hand what on Debian 12 is:" "$@"
	missing=$(missing_of "$@")
	[ -n "$missing" ] || return 0
	say "installing" $missing
	log=$(mktemp)
	# Lists may be absent or old: fetched only if it does not go without.
	if ! apt_install && { ! as_root apt-get update -q >"$log" 2>&1 || ! apt_install; }; then
		tail -n 5 "$log" >&2
		rm -f "$log"
		die "apt-get could not install" $missing
	fi
	rm -f "$log"
}

# fetch NAME VERSION JAR SIZE: the jars of NAME/pom.xml to the cache. The folder
# appears under its name only when it is complete.
fetch() {
	lib=$cache/$1-$2
	[ ! -d "$lib" ] || return 0
	mkdir -p "$cache" || die "cannot create the cache $cache; set SLIPRING_CACHE"
	exec 9>"$cache/lock"
	flock 9
	[ ! -d "$lib" ] || return 0
	say "fetching $1 $2 into $cache (once, about $4 MB)"
	fresh=$(mktemp -d "$cache/fetch.XXXXXX") || die "cannot write to $cache"
	log=$fresh.log
	trap 'rm -rf "$fresh" "$log"' EXIT
	tries=1
	until mvn -B -q -f "tests/tools/$1/pom.xml" dependency:copy-dependencies \
		-DoutputDirectory="$fresh" >"$log" 2>&1; do
		[ $tries -lt 3 ] || {
			grep -m 3 ERROR "$log" >&2 || :
			die "Maven could not fetch $1; SKIP_SERVICES=1 goes without"
		}
		tries=$((tries + 1))
	done
	[ -f "$fresh/$3" ] || die "Maven brought no $3"
	chmod 755 "$fresh"
	mv "$fresh" "$lib"
	rm -f "$log"
}

# Another JDK or Maven than Debian's will do as well.
java_tools() {
	command -v mvn >/dev/null 2>&1 || need maven
	command -v javac >/dev/null 2>&1 || need default-jdk-headless
}

fetch_dynamodb() {
	java_tools
	fetch dynamodb-local $dynamodb_version DynamoDBLocal-$dynamodb_version.jar 50
}

fetch_others() {
	fetch kafka $kafka_version kafka_2.13-$kafka_version.jar 46
	fetch opensearch $opensearch_version opensearch-$opensearch_version.jar 53
}

# The tests start servers of their own, on ports of their own.
need_services() {
	if [ -d /run/systemd/system ] && [ -n "$(missing_of $services)" ]; then
		say "Debian starts what it installs, and the tests use neither: afterwards" \
			"systemctl disable --now postgresql prometheus, if nobody else does"
	fi
	need $services
}

case $what in
build | demo) need $build ;;
check) need $build $test_only ;;
*)
	say "usage: setup.sh [build|check|demo]"
	exit 64
	;;
esac
[ "${SKIP_SERVICES:-0}" != 1 ] || exit 0
case $what in
check)
	need_services
	fetch_dynamodb
	fetch_others
	;;
demo) (fetch_dynamodb) || say "going on without DynamoDB Local" ;; # it has the emulator
esac
