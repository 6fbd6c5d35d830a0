#!/usr/bin/env bash
# Sets up and runs a whole search on real photographs: configs/demo.yml. Arguments go to the search.
#   VENV=DIR     the virtual environment (default .venv)      PYTHON=...   a Python 3.10, 3.11 or 3.12
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
. scripts/_venv.sh
ensure_venv tensorboard
echo "environment ready after $SECONDS s"
"$VENV/bin/python" -m esr_ray.search configs/demo.yml "$@"
echo "done after $SECONDS s in all"
