#!/bin/sh
# chromium.sh: say where a Chromium is, and install Debian's where there is none and we may.
set -eu

found() {
    for name in ${CHROMIUM:-} chromium chromium-browser google-chrome; do
        if command -v "$name" 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

found && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium for the browser tests (about a minute, once)" >&2
    {
        apt-get update --quiet || true # an index that is at hand may do
        DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends chromium
    } >&2
    found && exit 0
fi

echo "The browser tests need Chromium: install it (Debian, Ubuntu: apt-get install chromium)," \
    "or name yours (make browser CHROMIUM=/path/to/chrome)." >&2
exit 1
