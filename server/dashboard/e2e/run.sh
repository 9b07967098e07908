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

if ! command -v chromium >/dev/null; then
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
