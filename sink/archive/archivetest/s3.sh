#!/usr/bin/env bash
# A real S3 server without Docker: versitygw over a directory.
#
#   s3.sh up      start it, on 127.0.0.1:7070, with the bucket logforge
#   s3.sh down    stop it; its data stays in .archive/s3
#   s3.sh status
#
# S3_PORT, S3_DIR, S3_BUCKET, S3_ACCESS_KEY and S3_SECRET_KEY change that.
# VERSITYGW is its program.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
port=${S3_PORT:-7070}
dir=${S3_DIR:-$root/.archive/s3}
bucket=${S3_BUCKET:-logforge}
export ROOT_ACCESS_KEY=${S3_ACCESS_KEY:-logforge}
export ROOT_SECRET_KEY=${S3_SECRET_KEY:-logforge-secret}
gateway=${VERSITYGW:-$root/.tools/v1.8.0/versitygw}
pidfile=$dir/pid

alive() { [[ -f $pidfile ]] && kill -0 "$(cat "$pidfile")" 2>/dev/null; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

up() {
	if alive && answers; then return; fi
	if answers; then
		echo "s3.sh: somebody else listens on port $port; choose another with S3_PORT" >&2
		exit 1
	fi
	[[ -x $gateway ]] || make -C "$root" "${gateway#"$root/"}" >&2
	mkdir -p "$dir/data/$bucket" "$dir/iam"
	args=(--port "127.0.0.1:$port" --iam-dir "$dir/iam")
	[[ -z ${S3_CERT:-} ]] || args+=(--cert "$S3_CERT" --key "$S3_KEY")
	nohup "$gateway" "${args[@]}" posix "$dir/data" >"$dir/log" 2>&1 &
	echo $! >"$pidfile"
	for _ in $(seq 300); do
		if answers; then return; fi
		alive || break
		sleep 0.05
	done
	echo "s3.sh: versitygw does not answer:" >&2
	tail -5 "$dir/log" >&2
	exit 1
}

down() {
	if alive; then
		pid=$(cat "$pidfile")
		kill "$pid"
		for _ in $(seq 100); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.05
		done
		kill -9 "$pid" 2>/dev/null || true
	fi
	rm -f "$pidfile"
}

case ${1:-} in
up)
	up
	echo "http://127.0.0.1:$port, bucket $bucket, access key $ROOT_ACCESS_KEY, secret key $ROOT_SECRET_KEY"
	;;
down) down ;;
status) if alive; then echo "runs, pid $(cat "$pidfile")"; else echo "does not run"; fi ;;
*)
	sed -n '2,9s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
