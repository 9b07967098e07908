#!/bin/sh
# Measures everything that docs/benchmarks.md says, draws its pictures and
# writes it. On a quiet machine with two cores it takes about an hour, half of
# it the soaks; QUICK=1 takes a few minutes, and is for trying this script.
#
#   make kafka-up && bench/measure.sh                all
#   make kafka-up && bench/measure.sh v1 report      some: v1 v2 shippers latency soak report
set -eu
cd "$(dirname "$0")/.."
mkdir -p docs/benchmarks docs/images .bench
rounds=5 kafka_rounds=3 each=3s paced=10s soak=${SOAK:-10m}
if [ -n "${QUICK:-}" ]; then rounds=1 kafka_rounds=1 each=1s paced=2s soak=20s; fi
[ $# -gt 0 ] || set -- v1 v2 shippers latency soak report
for part in "$@"; do
	case $part in
	v1) go run ./bench/compare -servers discard,append,simple,v1,v1-64,v1-synced -rounds $rounds -for $each -json docs/benchmarks/v1.json ;;
	v2) go run ./bench/compare -servers kafka-none,kafka-snappy,kafka-lz4,kafka-zstd,kafka-simple,v2-none,v2,v2-lz4,v2-zstd,v2-lines,v2-enqueued -rounds $kafka_rounds -for $each -json docs/benchmarks/v2.json ;;
	shippers) make bench-shippers COMPARE="-rounds $kafka_rounds -for $each -json docs/benchmarks/shippers.json" ;;
	latency) go run ./bench/compare latency -servers v1,v2 -batches 100,1000 -for $paced -json docs/benchmarks/latency.json ;;
	soak) go run ./bench/compare soak -servers v1,v2 -for $soak -json docs/benchmarks/soak.json ;;
	report)
		go run ./bench/compare report
		(cd bench/plot && go run . -docs ../../docs)
		;;
	*)
		sed -n '2,7s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
done
