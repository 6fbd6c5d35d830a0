#!/usr/bin/env bash
# Sets up and runs style, types and tests. Arguments go to pytest (-m slow runs what takes minutes).
#   VENV=DIR     the virtual environment (default .venv-test)      PYTHON=...   a Python 3.11
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv-test}
. scripts/_venv.sh
ensure_venv dev
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/mypy"
exec "$VENV/bin/python" -m pytest "$@"
