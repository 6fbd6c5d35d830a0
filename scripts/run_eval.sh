#!/usr/bin/env bash
# Measures trained networks on benchmarks, beside bicubic.
#   usage: scripts/run_eval.sh CHECKPOINT|RUN_DIR|eval.yml [OPTIONS OF esr_ray.evaluate]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { sed -n '2,3p' "$0" >&2; exit 2; }
exec "${PYTHON:-python}" -m esr_ray.evaluate "$@"
