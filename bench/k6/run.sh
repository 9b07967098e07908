#!/bin/sh
# Loads logforge with k6 and then counts, in the server's files, whether every
# batch that was acknowledged is there, each record once.
#
#   bench/k6/run.sh v1          one version
#   bench/k6/run.sh v1 v2       both, and a table
#
# Where a server answers (:8082 for v1, :8083 for v2) it is loaded, and what it
# stores stays in its directories: that is said beforehand, with the number of
# records. Where none answers, one is started on scratch directories, and in v2
# on a topic and a group of its own; it is stopped afterwards, and its
# directories are removed.
#
# SCENARIO=smoke, the default, is a smoke test: it proves that batches get
# through and are stored, and its figures mean nothing. constant, ramp and soak
# are measurements, if nothing else runs on the machine.
#
# Environment: SCENARIO, FORMAT, BATCH, ACK, RATE, DURATION, P99 (see ingest.js),
# LOGS_DIR (the server's, if it is not the one of config/examples), V1_URL and
# V2_URL, K6 and SERVER (the programs), OUT_DIR (for logs, figures and scratch).
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
k6=${K6:-$(command -v k6 || ls .tools/*/k6 2>/dev/null | tail -n 1)}
[ -n "$k6" ] || { echo "k6 is missing: make loadtest-v1 installs it, or go install go.k6.io/k6@v1.8.1"; exit 2; }
out=${OUT_DIR:-.bench/k6}
binary=${SERVER:-bin/server}
mkdir -p "$out"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || :' EXIT
trap 'exit 130' INT TERM

# count prints, of this run's batches in the files below $1: batches, whole ones,
# records. A batch's name stands between "run=" and the end of the path. The
# name of a directory's files is a list, for there may be very many of them.
count() {
	find "$1" -name '*.log.json' -exec grep -ho "run=$2-[0-9]*-" {} + | awk -v whole="$3" '
		{ n[$0]++ }
		END { for (b in n) { batches++; records += n[b]; if (n[b] == whole) good++ }; print batches + 0, good + 0, records + 0 }'
}

# records prints about how many records a run sends: see the scenarios in
# ingest.js.
records() {
	echo "${SCENARIO:-smoke} ${RATE:-0} ${DURATION:-0} ${BATCH:-100}" | awk '
		function seconds(d) {
			total = 0
			while (match(d, /^[0-9.]+(ms|s|m|h)/)) {
				part = substr(d, 1, RLENGTH); d = substr(d, RLENGTH + 1); unit = part; sub(/^[0-9.]+/, "", unit)
				total += part * (unit == "h" ? 3600 : unit == "m" ? 60 : unit == "s" ? 1 : 0.001)
			}
			return total
		}
		{
			rate = $2; time = seconds($3)
			if ($1 == "smoke") requests = 200
			else if ($1 == "constant") requests = (rate ? rate : 200) * (time ? time : 30)
			else if ($1 == "soak") requests = (rate ? rate : 100) * (time ? time : 600)
			else requests = (10 + (rate ? rate : 4000)) / 2 * (time ? time : 60)
			printf "%d\n", requests * $4
		}'
}

load() {
	mode=$1
	run=$(date +%s)$$
	case $mode in
	v1) url=${V1_URL:-http://localhost:8082} logs=${LOGS_DIR:-logs} ;;
	v2) url=${V2_URL:-http://localhost:8083} logs=${LOGS_DIR:-logs-v2} ;;
	*) echo "$mode: use v1 or v2"; exit 2 ;;
	esac
	scratch=
	if curl -fsS -m 5 "$url/ready" >/dev/null 2>&1; then
		echo "A server answers at $url: about $(records) records of this run will stay in its directories ($logs and its summaries)."
	else
		[ -x "$binary" ] || { echo "nothing is ready at $url, and there is no $binary: make build"; exit 2; }
		scratch=$out/$mode-scratch
		logs=$scratch/logs
		rm -rf "$scratch"
		mkdir -p "$scratch"
		echo "No server answers at $url: one is started there, in $scratch, about $(records) records are sent to it, and it is stopped again."
		set --
		if [ "$mode" = v2 ]; then
			set -- -topic logforge-loadtest -group logforge-loadtest
			echo "The records stay in the topic logforge-loadtest until Kafka removes them."
		fi
		"$binary" -config "config/examples/config.$mode.local.yaml" -addr "${url#http://}" "$@" -logs-dir "$logs" -analytics-dir "$scratch/analytics" 2>"$out/$mode-server.log" &
		server=$!
		tries=0
		until curl -fsS -m 5 "$url/ready" >/dev/null 2>&1; do
			tries=$((tries + 1))
			if [ $tries -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
				echo "bin/server does not become ready at $url (version 2 needs Kafka: make kafka-up):"
				tail "$out/$mode-server.log"
				exit 1
			fi
			sleep 0.1
		done
	fi
	case ${SCENARIO:-smoke} in
	smoke) echo "This is a smoke test; its figures are no measurement." ;;
	*) echo "This is a measurement, as good as the machine is quiet." ;;
	esac
	[ -d "$logs" ] || { echo "the server's files are not in $logs: set LOGS_DIR"; exit 2; }

	code=0
	"$k6" run --quiet --no-usage-report -e MODE="$mode" -e URL="$url" -e RUN="$run" -e OUT="$out/$mode.json" \
		-e SCENARIO="${SCENARIO:-smoke}" -e FORMAT="${FORMAT:-json}" -e BATCH="${BATCH:-100}" -e ACK="${ACK:-}" \
		${RATE:+-e RATE="$RATE"} ${DURATION:+-e DURATION="$DURATION"} ${P99:+-e P99="$P99"} bench/k6/ingest.js || code=$?
	figure() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" "$out/$mode.json"; }
	batch=$(figure batch) acknowledged=$(figure acknowledged) unanswered=$(figure unanswered)

	# Version 2 acknowledges what Kafka has; its files follow.
	tries=0
	while set -- $(count "$logs" "$run" "$batch"); [ "$3" -lt "$acknowledged" ] && [ $tries -lt 60 ]; do
		tries=$((tries + 1))
		sleep 0.5
	done
	echo "  in the files of $logs: $3 records in $1 batches, $2 of them whole; acknowledged: $acknowledged records"
	if [ "$3" -lt "$acknowledged" ] || [ "$3" -gt $((acknowledged + unanswered)) ] || [ "$2" -lt $((acknowledged / batch)) ]; then
		echo "  NOT WHAT WAS ACKNOWLEDGED"
		code=1
	fi
	printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$mode" "$(figure scenario)" "$(figure format)" "$batch" "$(figure ack)" \
		"$(figure recordsPerSecond)" "$(figure p50)" "$(figure p99)" "$(figure p999)" "$3 of $acknowledged" >>"$out/table.md"
	if [ -n "$server" ]; then
		kill "$server"
		wait "$server" || code=$?
		server=
		[ "$code" != 0 ] || rm -rf "$scratch"
	fi
	return $code
}

{
	echo '| mode | scenario | format | batch | ack | records a second | p50 ms | p99 ms | p99.9 ms | stored of acknowledged |'
	echo '|---|---|---|---|---|---|---|---|---|---|'
} >"$out/table.md"
failed=0
for mode in "$@"; do
	load "$mode" || failed=$?
done
echo
cat "$out/table.md"
exit "$failed"
