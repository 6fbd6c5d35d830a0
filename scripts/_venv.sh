# Sourced by the other scripts: makes or reuses a virtual environment in $VENV and installs this checkout into it.
# usage: ensure_venv EXTRAS
ensure_venv() {
    local extras=$1 python=${PYTHON:-python3.11}
    command -v "$python" >/dev/null || { echo "error: $python is not there; install Python 3.11 or set PYTHON" >&2; exit 2; }
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
        { echo "error: $python is not Python 3.11, which esr_ray needs; set PYTHON to one that is" >&2; exit 2; }
    [ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV"
    # Installed again only where the requirements or what is compiled changed: a second run starts at once, also without
    # a network. What chooses the compiler is part of it, so that mending it takes effect.
    local wanted
    wanted=$(cat setup.cfg pyproject.toml setup.py scripts/build_backend.py esr_ray/native/build.py \
        esr_ray/native/src/* | sha256sum)" $extras $PWD ${CXX-} ${ESR_RAY_NO_NATIVE-}"
    if [ "$(cat "$VENV/.installed" 2>/dev/null)" != "$wanted" ] ||
        { [ ! -e esr_ray/native/libesrn_portable.so ] && [ ! -e esr_ray/native/build_failed.txt ]; }; then
        echo "installing esr_ray[$extras] into $VENV (the first time takes some minutes)"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
        echo "$wanted" >"$VENV/.installed"
    fi
}
