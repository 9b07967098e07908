#!/bin/sh
# Everything a release consists of, into dist/: a static binary for each
# architecture in a tar archive, deb and rpm packages, an SBOM (CycloneDX) and
# checksums. The same commit gives the same bytes.
#
#   config/deploy/packaging/release.sh
#
# VERSION, COMMIT, DATE   what the binary says of itself (the Makefile sets them)
# ARCHS                   architectures (amd64 arm64)
# DIST                    where to (dist)
# NFPM, CYCLONEDX         the tools (the Makefile installs them)
set -eu
cd "$(dirname "$0")/../../.."
: "${VERSION:?}" "${COMMIT:?}" "${DATE:?}" "${NFPM:?}" "${CYCLONEDX:?}"
DIST=${DIST:-dist}
archs=${ARCHS:-amd64 arm64}

# v1.2.3 is 1.2.3; a commit after it is 1.2.3+4.gabc, which sorts behind it; a
# tree without a tag is 0.0.0+abc.
case $VERSION in
v[0-9]*) PACKAGE_VERSION=$(echo "${VERSION#v}" | sed 's/-\([0-9][0-9]*\)-g/+\1.g/; s/-dirty$/.dirty/') ;;
*) PACKAGE_VERSION=0.0.0+$(echo "$VERSION" | tr -c 'A-Za-z0-9.\n' .) ;;
esac
SOURCE_DATE_EPOCH=$(git show -s --format=%ct HEAD)
export DIST PACKAGE_VERSION SOURCE_DATE_EPOCH ARCH

rm -rf "$DIST"
mkdir -p "$DIST"
for ARCH in $archs; do
	echo "logforge $PACKAGE_VERSION for linux/$ARCH"
	CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath \
		-ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" \
		-o "$DIST/logforge-$ARCH" ./cmd/server
	# The modules and versions that are in the binary, read from it.
	"$CYCLONEDX" bin -json -noserial -version "$PACKAGE_VERSION" \
		-output "$DIST/logforge_${PACKAGE_VERSION}_linux_$ARCH.sbom.json" "$DIST/logforge-$ARCH" 2>"$DIST/log" || { cat "$DIST/log" >&2; exit 1; }
	# When it was written is not part of what it says.
	sed -i '/^ *"timestamp": /d' "$DIST/logforge_${PACKAGE_VERSION}_linux_$ARCH.sbom.json"
	rm "$DIST/log"
done
# Every setting, commented, with its default: from the binary that reads it.
go run ./cmd/server config sample >"$DIST/logforge.yaml"
for ARCH in $archs; do
	for format in deb rpm; do
		"$NFPM" package --config config/deploy/packaging/nfpm.yaml --packager $format --target "$DIST/" >"$DIST/log" 2>&1 || { cat "$DIST/log" >&2; exit 1; }; rm "$DIST/log"
	done
	top=logforge-$PACKAGE_VERSION
	mkdir "$DIST/$top"
	cp "$DIST/logforge-$ARCH" "$DIST/$top/logforge"
	cp "$DIST/logforge.yaml" config/deploy/packaging/logforge.service README.md CHANGELOG.md LICENSE "$DIST/$top/"
	tar -C "$DIST" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$top" |
		gzip -n9 >"$DIST/logforge_${PACKAGE_VERSION}_linux_$ARCH.tar.gz"
	rm -r "${DIST:?}/$top" "$DIST/logforge-$ARCH"
done
(cd "$DIST" && sha256sum -- *.tar.gz *.deb *.rpm *.json >checksums.txt)
ls -l "$DIST"
