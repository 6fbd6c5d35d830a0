#!/usr/bin/env bash
# The same on the Ray cluster that this machine belongs to (start it first: cluster/README.md). With a rank table the
# full training is on the Ascend devices that it names; without one, devices find each other.
#   usage: scripts/run_distributed.sh [RANK_TABLE_FILE] [CONFIG] [OPTIONS OF esr_ray.search]
set -euo pipefail
# Not gone into: paths are relative to where the user is.
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
table=()
case ${1-} in *.json) table=(--set "runtime.rank_table=$1"); shift ;; esac
config=$root/configs/esr_ea_x2.yml
case ${1-} in *.yml | *.yaml) config=$1; shift ;; esac
exec "${PYTHON:-python}" -m esr_ray.search "$config" --address "${RAY_ADDRESS:-auto}" "${table[@]}" "$@"
