#!/bin/sh
# The user must exist before the files that belong to its group.
set -e
getent group logforge >/dev/null || groupadd --system logforge
getent passwd logforge >/dev/null || useradd --system --gid logforge --home-dir /var/lib/logforge \
	--no-create-home --shell /usr/sbin/nologin --comment logforge logforge
