#!/usr/bin/env bash
# Sets up and runs all benchmarks, in about half an hour on two idle cores; each prints its ratio last.
#   VENV=DIR     the virtual environment (default .venv-benchmarks)      PYTHON=...   a Python 3.10, 3.11 or 3.12
# Arguments go to each of ours: --quick shows within minutes that they work, and measures nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv-benchmarks}
. scripts/_venv.sh
ensure_venv dev,benchmarks
run() {
    echo
    echo "== $*"
    "$VENV/bin/python" "$@" 2> >(sed 's/^/   /' >&2)
}
quick=()
for argument in "$@"; do [ "$argument" = --quick ] && quick=(--set fast_training.steps=4 --genomes 3 --seeds 2); done
run benchmarks/counting.py
run benchmarks/train_step.py "$@"
run benchmarks/upscale.py "$@"
run benchmarks/loader.py "$@"
run benchmarks/overhead.py "$@"
# The real search at the demo's length takes most of an hour by itself.
run benchmarks/scaling.py --search-steps 150 "$@"
run benchmarks/full_training.py "$@"
# Fewer genomes and no choices: the whole takes half an hour by itself.
run benchmarks/fitness.py configs/demo.yml --genomes 8 --seeds 2 --longer 2 "${quick[@]}"
run benchmarks/continued.py --networks 3 "$@"
# In a world made of the table; hours for all contenders and 100 seeds, so here a few seeds of those that are quick.
if [ -e benchmarks/search_table.jsonl.xz ]; then
    run benchmarks/search.py --seeds 8 --budgets 160 --contenders 'random search' "reference's loop" 'ours, all' "$@"
else
    echo "benchmarks/search.py: left out, there is no table yet (search_table.py makes it)"
fi
echo
echo "done after $SECONDS s in all"
