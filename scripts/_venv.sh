# Sourced by the other scripts: makes or reuses a virtual environment in $VENV and installs this checkout into it.
# usage: ensure_venv EXTRAS

# Prints the version of a Python, and fails if esr_ray does not run on it: these are the versions of setup.cfg.
_version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
        2>/dev/null
}

# Sets PYTHON to a Python that esr_ray runs on: to itself if it is set, else to the first that there is.
choose_python() {
    local version one needed="Python 3.10, 3.11 or 3.12"
    if [ -n "${PYTHON-}" ]; then
        version=$(_version "$PYTHON") && return
        if [ -n "$version" ]; then
            echo "error: $PYTHON is Python $version, and esr_ray needs $needed, as MindSpore does; set PYTHON to one of these" >&2
        else
            echo "error: $PYTHON is not there or does not start; set PYTHON to a $needed" >&2
        fi
        exit 2
    fi
    for one in python3.11 python3.12 python3.10 python3; do
        # Some are there and do not start, such as those that pyenv has switched off.
        if version=$(_version "$one"); then
            PYTHON=$one
            return
        fi
    done
    echo "error: there is no $needed${version:+ (python3 is Python $version)}; install one, or set PYTHON to it" >&2
    exit 2
}

ensure_venv() {
    local extras=$1 present wanted
    present=$(_version "$VENV/bin/python") || present=none
    wanted=$present
    # What is there serves, unless PYTHON is another version.
    if [ -n "${PYTHON-}" ] || [ "$present" = none ]; then
        choose_python
        wanted=$(_version "$PYTHON")
    fi
    if [ -e "$VENV/pyvenv.cfg" ] && [ "$present" != "$wanted" ]; then
        # Nothing is cleared that these scripts have not made.
        [ -e "$VENV/.installed" ] || {
            echo "error: the environment $VENV is not of Python $wanted; remove it, or set VENV to another folder" >&2
            exit 2
        }
        echo "making $VENV anew, for Python $wanted"
        "$PYTHON" -m venv --clear "$VENV"
    elif ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        # Not there, or left half made: Debian and Ubuntu have a part of what makes it in the package python3-venv.
        [ -n "${PYTHON-}" ] || choose_python
        "$PYTHON" -m venv "$VENV"
    fi
    # Installed again only where the requirements or what is compiled changed: a second run starts at once, also without
    # a network. What chooses the compiler is part of it, so that mending it takes effect.
    wanted=$(cat setup.cfg pyproject.toml setup.py scripts/build_backend.py esr_ray/native/build.py \
        esr_ray/native/src/* | sha256sum)" $extras $PWD ${CXX-} ${ESR_RAY_NO_NATIVE-}"
    if [ "$(cat "$VENV/.installed" 2>/dev/null)" != "$wanted" ] ||
        { [ ! -e esr_ray/native/libesrn_portable.so ] && [ ! -e esr_ray/native/build_failed.txt ]; }; then
        echo "installing esr_ray[$extras] into $VENV (the first time takes some minutes)"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
        echo "$wanted" >"$VENV/.installed"
    fi
}
