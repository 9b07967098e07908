#!/usr/bin/env bash
# Installs the shippers of the tests in this directory into .tools/shippers (and,
# as Debian packages, nginx, HAProxy and syslog-ng), as far as they are missing.
set -euo pipefail
cd "$(dirname "$0")"
tools=$(cd ../.. && pwd)/.tools/shippers
mkdir -p "$tools"

lacking=()
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || lacking+=(nginx-light)
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || lacking+=(haproxy)
command -v syslog-ng >/dev/null || [ -x /usr/sbin/syslog-ng ] || lacking+=(syslog-ng-core syslog-ng-mod-http)
command -v curl >/dev/null || lacking+=(curl)
command -v npm >/dev/null || lacking+=(nodejs npm)
python3 -c "import venv, ensurepip" 2>/dev/null || lacking+=(python3-venv)
if ((${#lacking[@]})); then
	if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
		echo "install.sh: install these first (as root I would do it myself): ${lacking[*]}" >&2
		exit 1
	fi
	apt-get update -qq
	# RUNLEVEL: their services are not to be started.
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${lacking[@]}"
fi

# rsyslog and syslog-ng exclude each other as Debian packages: this one is only
# unpacked.
if [ ! -x "$tools/rsyslog/usr/sbin/rsyslogd" ]; then
	rm -rf "$tools/rsyslog" "$tools/deb" && mkdir -p "$tools/deb"
	(cd "$tools/deb" && apt-get download -qq rsyslog rsyslog-elasticsearch libestr0 libfastjson4 liblognorm5)
	for package in "$tools"/deb/*.deb; do dpkg -x "$package" "$tools/rsyslog"; done
	rm -rf "$tools/deb"
fi

for shipper in benthos otelcol telegraf; do
	[ -x "$tools/$shipper" ] || (cd "$shipper" && go build -o "$tools/$shipper" .)
done
[ -x "$tools/hey" ] || GOBIN="$tools" go install github.com/rakyll/hey@v0.1.5

if [ ! -x "$tools/python/bin/python" ]; then
	python3 -m venv "$tools/python"
fi
"$tools/python/bin/python" -c "import datadog_api_client, elasticsearch, logging_loki, opensearchpy, opentelemetry.sdk, splunk_handler" 2>/dev/null ||
	"$tools/python/bin/python" -m pip install -q -r requirements.txt

if [ ! -d "$tools/node/node_modules/winston" ]; then
	mkdir -p "$tools/node"
	cp package.json package-lock.json "$tools/node"
	(cd "$tools/node" && npm ci --silent --no-audit --no-fund)
fi
