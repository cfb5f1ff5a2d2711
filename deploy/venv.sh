#!/bin/sh
# venv.sh FOLDER: make a virtual environment with $PYTHON, or with the first Python that is new enough.
set -eu

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if is_new_enough "$candidate"; then
        if ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate cannot make virtual environments: install its venv package" \
                "(Debian, Ubuntu: apt-get install python3-venv) and try again." >&2
            exit 1
        fi
        echo "Making the virtual environment $1 with $candidate"
        exec "$candidate" -m venv --clear "$1"
    fi
done

echo "Tradepost needs Python 3.11 or newer, and ${PYTHON:-python3} is not:" \
    "install one, or name it (make PYTHON=/path/to/python3.13 ...)." >&2
exit 1
