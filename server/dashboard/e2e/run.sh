#!/bin/sh
# Tests the dashboard: its modules in Node.js, then the page in a real headless
# Chromium against a bin/server of this tree. Installs what it lacks (Debian's
# chromium, as root; the two npm packages of package-lock.json).
#
#   server/dashboard/e2e/run.sh              the tests
#   server/dashboard/e2e/run.sh --pictures   docs/images/dashboard-*.png anew
set -eu
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)

# left_out says what is missing and ends: well on a developer's machine, where
# make test repeats it at its end, and badly in CI, where nothing is left out.
left_out() {
	echo "server/dashboard/e2e was LEFT OUT: $1 is missing" >&2
	[ "${CI-}" != true ] || exit 1
	mkdir -p "$root/.kafka"
	echo "server/dashboard/e2e: $1 is missing" >>"$root/.kafka/left-out"
	exit 0
}

command -v npm >/dev/null || left_out "Node.js with npm"
if ! command -v chromium >/dev/null; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		left_out "chromium (apt-get install chromium; as root this script does it)"
	fi
	echo "installing chromium" >&2
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ]; then
	npm ci --silent
	touch node_modules
fi
make --silent -C "$root" build
export SERVER="$root/bin/server"
if [ "${1-}" = "--pictures" ]; then
	exec node pictures.js "$root/docs/images"
fi
exec node --test --test-concurrency=1 --test-reporter=spec .
