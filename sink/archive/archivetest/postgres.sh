#!/usr/bin/env bash
# A real PostgreSQL without Docker: Debian's package, or any that is on the PATH.
#
#   postgres.sh up      start it, on 127.0.0.1:15432, with the database logforge
#   postgres.sh down    stop it; its data stays in .archive/postgres, or in
#                       /var/tmp/logforge-postgres if that is out of its reach
#   postgres.sh status
#
# POSTGRES_PORT, POSTGRES_DIR, POSTGRES_PASSWORD and POSTGRES_OPTIONS (of the
# server) change that. As root it runs as the user postgres.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
port=${POSTGRES_PORT:-15432}
dir=${POSTGRES_DIR:-$root/.archive/postgres}
password=${POSTGRES_PASSWORD:-logforge}
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
[[ -n $bin ]] || bin=$(pg_config --bindir 2>/dev/null || dirname "$(command -v pg_ctl || echo none/none)")
if [[ ! -x $bin/pg_ctl ]]; then
	echo "postgres.sh: PostgreSQL is missing: apt-get install postgresql, or brew install postgresql" >&2
	exit 1
fi

as() {
	if ((EUID == 0)); then
		(cd / && runuser -u postgres -- "$@")
	else
		"$@"
	fi
}
# A checkout in a home directory that the user postgres may not enter.
if [[ -z ${POSTGRES_DIR:-} ]] && ((EUID == 0)) && ! as test -x "$root"; then
	dir=/var/tmp/logforge-postgres
fi
alive() { [[ -f $dir/data/postmaster.pid ]] && kill -0 "$(head -1 "$dir/data/postmaster.pid")" 2>/dev/null; }

up() {
	if alive; then return; fi
	if [[ ! -f $dir/data/PG_VERSION ]]; then
		mkdir -p "$dir"
		printf '%s\n' "$password" >"$dir/password"
		if ((EUID == 0)); then chown -R postgres "$dir"; fi
		as "$bin/initdb" -D "$dir/data" -U logforge -A scram-sha-256 --pwfile="$dir/password" --locale=C -E UTF8 >"$dir/initdb.log" 2>&1 ||
			{ tail -5 "$dir/initdb.log" >&2; exit 1; }
	fi
	as "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/log" -w -t 60 \
		-o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' ${POSTGRES_OPTIONS:-}" start >/dev/null ||
		{ tail -5 "$dir/data/log" >&2; exit 1; }
	PGPASSWORD=$password "$bin/psql" -h 127.0.0.1 -p "$port" -U logforge -d postgres -qAtc \
		"SELECT 'CREATE DATABASE logforge' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'logforge')" |
		PGPASSWORD=$password "$bin/psql" -h 127.0.0.1 -p "$port" -U logforge -d postgres -q
}

case ${1:-} in
up)
	up
	echo "postgres://logforge:$password@127.0.0.1:$port/logforge"
	;;
down) if alive; then as "$bin/pg_ctl" -D "$dir/data" -m "${POSTGRES_STOP:-fast}" -w stop >/dev/null; fi ;;
status) if alive; then echo "runs, pid $(head -1 "$dir/data/postmaster.pid")"; else echo "does not run"; fi ;;
*)
	sed -n '2,10s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
