#!/usr/bin/env bash
# A search with its full training and benchmarks on this machine, as in the reference's repository.
#   usage: scripts/run_standalone.sh [CONFIG] [OPTIONS OF esr_ray.search]      default: configs/esr_ea_x2.yml
set -euo pipefail
# Not gone into: paths are relative to where the user is.
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
config=$root/configs/esr_ea_x2.yml
case ${1-} in *.yml | *.yaml) config=$1; shift ;; esac
exec "${PYTHON:-python}" -m esr_ray.search "$config" "$@"
