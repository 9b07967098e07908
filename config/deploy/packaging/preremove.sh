#!/bin/sh
# deb says remove or upgrade; rpm says how many versions stay installed.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now logforge.service
	fi
	;;
esac
