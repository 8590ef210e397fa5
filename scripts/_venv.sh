# Sourced by the scripts beside it, in the project's folder. `need_venv NAME PIP-ARGUMENT...`
# makes $venv (.venv unless it is set) with Python >= 3.11 and installs what NAME needs; it
# does nothing when neither pyproject.toml nor requirements/ changed since the last time.
# `run_tests ARGUMENT...` then runs pytest.

# Tests and checks start Python hundreds of times: without its bytecode on the disk, each
# of them would compile every module anew.
unset PYTHONDONTWRITEBYTECODE

venv=${venv:-.venv}
modern='import sys; sys.exit(sys.version_info < (3, 11))'
version='import sys; print(sys.version)'

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

find_python() {
    for python in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if "$python" -c "$modern" 2>/dev/null; then return; fi
        if [ -n "${PYTHON:-}" ]; then fail "PYTHON is $PYTHON: it is not Python >= 3.11."; fi
    done
    fail "Python >= 3.11 is missing: none of python3, python3.13, python3.12, python3.11 is." \
        "Install it (Debian: apt install python3 python3-venv), or set PYTHON to where it is."
}

make_venv() {
    find_python
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module: install it (Debian: apt install python3-venv)."
    rm -rf "$venv"
    "$python" -m venv "$venv" || { rm -rf "$venv"; fail "$python could not make $venv."; }
}

venv_is_good() {
    "$venv/bin/python" -c "import pip; $modern" 2>/dev/null || return 1
    [ -z "${PYTHON:-}" ] ||
        [ "$("$PYTHON" -c "$version")" = "$("$venv/bin/python" -c "$version")" ]
}

need_venv() {
    name=$1
    shift
    venv_is_good || make_venv
    sum=$(printf '%s\n' "$PWD" "$*" | cat - pyproject.toml requirements/*.txt | cksum)
    if [ "$sum" = "$(cat "$venv/$name.stamp" 2>/dev/null)" ]; then return; fi
    echo "Installing what scripts/$name needs into $venv ..." >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
        fail "Installing into $venv failed; the reason is above."
    printf '%s\n' "$sum" >"$venv/$name.stamp"
}

# Nearly each test commits, and a disk takes its time to sync: so pytest's folders are in
# memory, where there is room.
run_tests() {
    room=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
    if [ "${room:-0}" -lt 2000000 ]; then exec "$venv/bin/python" -m pytest "$@"; fi
    folder=$(mktemp -d /dev/shm/flask-outbox-XXXXXX)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 130' INT TERM
    "$venv/bin/python" -m pytest --basetemp="$folder/tests" "$@"
}
