#!/usr/bin/env bash
# Measures trained networks on benchmarks, beside bicubic.
#   usage: scripts/run_eval.sh CHECKPOINT|RUN_DIR|eval.yml [OPTIONS OF esr_ray.evaluate]
set -euo pipefail
# Not gone into: paths are relative to where the user is.
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
[ $# -gt 0 ] || { sed -n '2,3p' "$0" >&2; exit 2; }
exec "${PYTHON:-python}" -m esr_ray.evaluate "$@"
