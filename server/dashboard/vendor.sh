#!/bin/sh
# Fetches the one third-party library of the dashboard, uPlot, with its licence
# into uplot/ (a directory named vendor would be left out of module archives).
# The version and the package's integrity (as the npm registry publishes it,
# SHA-512 in base64) are pinned here; a package that differs stops the script.
# With --check nothing is written: the committed files must be the package's own.
set -eu

version=1.6.32
integrity=KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$work"
npm pack --silent "uplot@$version" >/dev/null
got=$(openssl dgst -sha512 -binary "uplot-$version.tgz" | openssl base64 -A)
if [ "$got" != "$integrity" ]; then
	echo "uplot@$version: integrity is $got, expected $integrity" >&2
	exit 1
fi
tar -xzf "uplot-$version.tgz"
mkdir out
cp package/dist/uPlot.iife.min.js out/uPlot.js
cp package/dist/uPlot.min.css out/uPlot.css
cp package/LICENSE out/uPlot.LICENSE
(cd out && sha256sum uPlot.js uPlot.css uPlot.LICENSE >SHA256SUMS)

if [ "${1-}" = "--check" ]; then
	diff -r out "$here/uplot"
	echo "uplot/ is uPlot $version as published"
	exit 0
fi
mkdir -p "$here/uplot"
cp out/* "$here/uplot/"
chmod 644 "$here"/uplot/*
echo "uplot/ now holds uPlot $version"
