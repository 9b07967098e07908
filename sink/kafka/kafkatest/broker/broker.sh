#!/bin/sh
# A real Apache Kafka without Docker: one broker in KRaft mode on 127.0.0.1,
# from its Maven Central artifacts; or one of the brokers of a cluster.
#
#   broker.sh up       fetch (once), format (once), start, wait until it answers
#   broker.sh down     stop it, if it is ours
#   broker.sh status   say what answers on the port, and whose it is
#
# KAFKA_PORT         port of the broker (19092); the controller's is one more
# KAFKA_DIR          data, log, pid and cluster id (.kafka in the project)
# KAFKA_LIBS         the jars, shared by all brokers (.kafka/libs in the project)
# KAFKA_HEAP         memory options of the JVM (-Xms256m -Xmx512m)
# KAFKA_PROPERTIES   more lines for server.properties
# KAFKA_WAIT         seconds to wait for it to answer (60)
# KAFKA_FOREIGN      use: take a broker of somebody else that is on the port for
#                    ours (otherwise that is an error, see up)
#
# For a cluster, one call for each broker, side by side:
# KAFKA_NODE         its number (1)
# KAFKA_VOTERS       all of them, 1@127.0.0.1:CONTROLLERPORT,2@...
# KAFKA_CLUSTER_ID   a random id, as kafka.tools.StorageTool random-uuid makes it
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
port=${KAFKA_PORT:-19092}
dir=${KAFKA_DIR:-$root/.kafka}
libs=${KAFKA_LIBS:-$root/.kafka/libs}
heap=${KAFKA_HEAP:--Xms256m -Xmx512m}
wait_for=${KAFKA_WAIT:-60}
node=${KAFKA_NODE:-1}
voters=${KAFKA_VOTERS:-}
addr=127.0.0.1:$port

say() { echo "kafka: $*"; }
die() { echo "kafka: $*" >&2; exit 1; }

need() { # need PROGRAM WHY HOW
	command -v "$1" >/dev/null 2>&1 || die "$1 is missing; it is needed $2. To install it: $3"
}

# ask prints the cluster id of whatever answers on the port (see clusterid).
ask() {
	tool=$root/.kafka/clusterid
	if [ ! -x "$tool" ] || [ "$here/clusterid/main.go" -nt "$tool" ]; then
		need go "to ask a broker whose it is" "https://go.dev/doc/install"
		mkdir -p "$root/.kafka"
		(cd "$root" && go build -o "$tool.$$" ./sink/kafka/kafkatest/broker/clusterid) && mv "$tool.$$" "$tool"
	fi
	"$tool" "$addr" 2>"$dir/ask.err"
}

# pid prints the process id of our broker if it is running. The command line is
# compared as well: after a reboot the number may be somebody else's.
pid() {
	p=$(cat "$dir/broker.pid" 2>/dev/null) || return 1
	case $(ps -o command= -p "$p" 2>/dev/null) in
	*"kafka.Kafka $dir/server.properties"*) echo "$p" ;;
	*) return 1 ;;
	esac
}

# whose says whose cluster $1 is.
whose() {
	if [ "$1" = "$(cat "$dir/cluster.id" 2>/dev/null)" ]; then
		echo "ours (cluster $1, data in $dir)"
	else
		echo "not ours (cluster $1)"
	fi
}

# lock keeps two calls for one directory apart: the second waits, and finds the
# work done.
lock() {
	tries=0
	until mkdir "$1" 2>/dev/null; do
		holder=$(cat "$1/pid" 2>/dev/null || echo)
		if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
			rm -rf "$1" # its holder died
			continue
		fi
		tries=$((tries + 1))
		[ "$tries" -le 300 ] || die "$1 is held by process ${holder:-unknown} for minutes; remove it if no other broker.sh is running"
		sleep 1
	done
	echo $$ >"$1/pid"
	locks="${locks:-} $1"
	# shellcheck disable=SC2064 # the list as it is now
	trap "rm -rf $locks" EXIT
}

fetch() {
	[ -d "$libs" ] && return
	need mvn "to fetch Apache Kafka from Maven Central" "apt-get install maven, or brew install maven"
	mkdir -p "$(dirname "$libs")"
	lock "$libs.lock"
	[ -d "$libs" ] && return
	say "fetching Apache Kafka, 43 MB, once, into $libs"
	rm -rf "$libs".tmp.*
	mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$libs.tmp.$$" ||
		die "Maven could not fetch it; see above. Try again: nothing was left half done"
	mv "$libs.tmp.$$" "$libs" # whole, or not there
}

format() {
	sed -e "s|@PORT@|$port|g" -e "s|@CONTROLLER_PORT@|$((port + 1))|g" -e "s|@DATA@|$dir/data|g" \
		"$here/server.properties.in" >"$dir/server.properties"
	if [ -n "$voters" ]; then # of a key that is there twice the last one counts
		sed -i.bak -e '/^controller.quorum.bootstrap.servers=/d' "$dir/server.properties"
		cat >>"$dir/server.properties" <<-END
			node.id=$node
			controller.quorum.voters=$voters
			default.replication.factor=3
			min.insync.replicas=2
			offsets.topic.replication.factor=3
			transaction.state.log.replication.factor=3
			transaction.state.log.min.isr=2
			share.coordinator.state.topic.replication.factor=3
			share.coordinator.state.topic.min.isr=2
		END
	fi
	echo "${KAFKA_PROPERTIES:-}" >>"$dir/server.properties"
	[ -s "$dir/cluster.id" ] && [ -f "$dir/data/meta.properties" ] && return
	say "formatting $dir/data"
	rm -rf "$dir/data"
	id=${KAFKA_CLUSTER_ID:-$(java -cp "$libs/*" kafka.tools.StorageTool random-uuid)}
	alone=--standalone
	[ -z "$voters" ] || alone=
	# shellcheck disable=SC2086 # none is no argument
	java -cp "$libs/*" kafka.tools.StorageTool format $alone -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
		die "could not format: $(cat "$dir/format.log")"
	echo "$id" >"$dir/cluster.id"
}

start() {
	# shellcheck disable=SC2086 # several options
	nohup java $heap -Dbroker.log="$dir/broker.log" \
		-Dlog4j2.configurationFile="$here/log4j2.properties" \
		-cp "$libs/*" kafka.Kafka "$dir/server.properties" >"$dir/start.log" 2>&1 </dev/null &
	echo $! >"$dir/broker.pid"
}

up() {
	mkdir -p "$dir"
	lock "$dir/lock"
	if id=$(ask); then
		# Two checkouts on one broker would join one group and share one topic:
		# each would get a part of the other's records.
		if [ "$id" != "$(cat "$dir/cluster.id" 2>/dev/null)" ] && [ "${KAFKA_FOREIGN:-}" != use ]; then
			die "A BROKER OF SOMEBODY ELSE ANSWERS ON $addr: cluster $id, $(whose "$id"). Nothing was started.
kafka: Stop that one (make kafka-down, where it was started), or choose another port: KAFKA_PORT=$((port + 100)) make kafka-up,
kafka: and then LOGFORGE_KAFKA_BROKERS=127.0.0.1:$((port + 100)) for the server. To use it all the same: KAFKA_FOREIGN=use,
kafka: with a topic and a group of your own (kafka.topic, kafka.groupID), or records of both will be mixed"
		fi
		say "a broker answers on $addr already: $(whose "$id"). Using it."
		return
	elif [ $? -eq 2 ] && ! pid >/dev/null; then
		die "something that is not Kafka listens on $addr ($(cat "$dir/ask.err")). Stop it, or choose another port with KAFKA_PORT"
	fi
	need java "to run Apache Kafka (17 or newer)" "apt-get install default-jre-headless, or brew install openjdk"
	fetch
	if ! pid >/dev/null; then
		format
		start
	fi
	p=$(cat "$dir/broker.pid")
	say "starting on $addr (process $p)"
	waited=0
	until id=$(ask); do
		# The process just made has the command line of this script until it becomes
		# java, which takes its time on a busy machine.
		pid >/dev/null || { sleep 3 && pid >/dev/null; } || die "the broker ended: $(tail -n 20 "$dir/start.log" "$dir/broker.log" 2>/dev/null)"
		[ "$waited" -lt "$wait_for" ] || die "no answer on $addr after ${wait_for}s; see $dir/broker.log. Process $p is left running"
		[ $((waited % 5)) -eq 4 ] && say "waiting for it to answer (${waited}s of ${wait_for}s)"
		sleep 1
		waited=$((waited + 1))
	done
	[ "$id" = "$(cat "$dir/cluster.id")" ] || die "cluster $id answers on $addr, which is not the one just started"
	say "up on $addr: cluster $id, process $p, data in $dir"
}

down() {
	mkdir -p "$dir"
	if ! p=$(pid); then
		if id=$(ask 2>/dev/null); then
			say "nothing of ours is running; the broker on $addr is $(whose "$id") and is left alone"
		else
			say "not running"
		fi
		rm -f "$dir/broker.pid"
		return
	fi
	kill "$p"
	waited=0
	while kill -0 "$p" 2>/dev/null; do
		if [ "$waited" -ge 30 ]; then
			say "process $p does not stop within 30s; killing it (its log survives that)"
			kill -9 "$p"
			break
		fi
		sleep 1
		waited=$((waited + 1))
	done
	rm -f "$dir/broker.pid"
	say "stopped process $p; its data stays in $dir"
}

status() {
	mkdir -p "$dir"
	if id=$(ask); then
		say "a broker answers on $addr: $(whose "$id")"
	else
		say "no Kafka on $addr: $(cat "$dir/ask.err")"
		return 1
	fi
}

case ${1:-} in
up | down | status) "$1" ;;
*) die "usage: broker.sh up|down|status" ;;
esac
