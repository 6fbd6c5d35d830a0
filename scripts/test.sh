#!/usr/bin/env bash
# Sets up and runs style, types and tests. Arguments go to pytest (-m slow runs what takes minutes).
#   --cluster    instead the test of a true `ray up` onto this machine by ssh: needs sshd and rsync, which are installed
#                where that may be done (root on Debian or Ubuntu); otherwise it says what is missing, and skips
#   VENV=DIR     the virtual environment (default .venv-test)      PYTHON=...   a Python 3.10, 3.11 or 3.12
#   TESTS_AT_ONCE=N   processes that run tests, a file each (default 2)
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv-test}
. scripts/_venv.sh
ensure_venv dev
if [ "${1-}" = --cluster ]; then
    shift
    missing=()
    command -v ssh >/dev/null && { command -v sshd || [ -x /usr/sbin/sshd ]; } >/dev/null || missing+=(openssh-server openssh-client)
    command -v rsync >/dev/null || missing+=(rsync)
    if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing ${missing[*]}"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
            echo "could not install ${missing[*]}" >&2
    fi
    exec "$VENV/bin/python" -m pytest -m cluster "$@"
fi
# Containers often set this, and then each of some hundred processes compiles the sources again.
unset PYTHONDONTWRITEBYTECODE
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/mypy"
exec "$VENV/bin/python" -m pytest -n "${TESTS_AT_ONCE:-2}" --dist loadfile --no-loadscope-reorder "$@"
