#!/bin/sh
# The logs in /var/lib/logforge stay, whatever is removed: they are data, not a
# part of the package.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
purge)
	if [ -d /var/lib/logforge ]; then
		echo "logforge: the logs in /var/lib/logforge are kept; remove them by hand if they are not needed"
	fi
	;;
esac
