#!/usr/bin/env bash
# Builds the source distribution and the wheel, installs each into an environment that has nothing else, and there, out
# of reach of the checkout, does what scripts/smoke.py says. Some minutes, most of which pip takes; nothing is left.
#   PYTHON=...   a Python 3.10, 3.11 or 3.12
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/_venv.sh
choose_python
unset PYTHONPATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

echo "== sdist and wheel, with $("$PYTHON" --version)"
# Of a copy: an earlier build leaves a list of files that would hide what MANIFEST.in has forgotten.
mkdir "$scratch/checkout"
tar --create --exclude-vcs --exclude='./.[!.]*' --exclude='*.egg-info' --exclude='*.so' --exclude=build_failed.txt \
    --exclude=./build --exclude=./dist --exclude=./runs --exclude=./rank_0 --exclude=./kernel_meta \
    --exclude=__pycache__ . | tar --extract --directory "$scratch/checkout"
"$PYTHON" -m venv "$scratch/build"
"$scratch/build/bin/python" -m pip install --quiet build
# The wheel is made from the sdist.
"$scratch/build/bin/python" -m build --outdir "$scratch/dist" "$scratch/checkout" >"$scratch/build.log" 2>&1 ||
    { cat "$scratch/build.log" >&2; exit 1; }
ls "$scratch/dist"

"$PYTHON" -m venv "$scratch/venv"
for archive in "$scratch"/dist/*.whl "$scratch"/dist/*.tar.gz; do
    echo "== $(basename "$archive") after $SECONDS s"
    "$scratch/venv/bin/python" -m pip uninstall --quiet --yes esr_ray 2>/dev/null
    "$scratch/venv/bin/python" -m pip install --quiet "$archive"
    "$scratch/venv/bin/python" -m pip check
    mkdir "$scratch/work"
    # -I: only what is installed is importable.
    (cd "$scratch/work" && "$scratch/venv/bin/python" -I -u "$OLDPWD/scripts/smoke.py")
    rm -rf "$scratch/work"
done
echo "done after $SECONDS s in all"
