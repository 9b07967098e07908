#!/bin/sh
# Installing starts nothing: the configuration should be read first. An upgrade
# restarts a service that runs.
set -e
install -d -m 0750 -o logforge -g logforge /var/lib/logforge
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart logforge.service
fi
case "$1" in
configure) old=$2 ;; # deb: the version that was configured last
*) [ "$1" = 1 ] || old=$1 ;; # rpm: how many versions are installed now
esac
if [ -z "$old" ]; then
	echo "logforge: read /etc/logforge/logforge.yaml, then: systemctl enable --now logforge"
fi
