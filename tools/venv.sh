#!/bin/sh
# The Makefile's virtual environment.
#   venv.sh check VENV                      refuse one that is broken, too old, or made for another folder
#   venv.sh install VENV EXTRAS STAMP SIZE  make it if need be, install covey[EXTRAS] by constraints.txt
# PYTHON names the interpreter that makes it (default: python3).
set -eu

fail() {
    printf 'covey: %s\n' "$1" >&2
    exit 1
}

is_python_311='import sys; sys.exit(sys.version_info < (3, 11))'
is_venv='import sys; sys.exit(sys.prefix == sys.base_prefix)'

check() {
    [ -e "$venv" ] || return 0
    remedy="remove it with 'make clean-venv' and run the same command again"
    "$venv/bin/python" -c 'pass' 2>/dev/null || fail "$venv is there, but its Python does not run: $remedy"
    "$venv/bin/python" -c "$is_venv" || fail "$venv is there, but is no virtual environment: $remedy"
    "$venv/bin/python" -c "$is_python_311" ||
        fail "$venv has $("$venv/bin/python" --version), Covey needs 3.11 or newer: $remedy, with PYTHON=python3.11 or newer"
    for stamp in "$venv"/.covey-*; do
        if [ -f "$stamp" ] && [ "$(cat "$stamp")" != "$PWD" ]; then
            fail "$venv was made in $(cat "$stamp") and still runs that code: $remedy"
        fi
    done
}

create() {
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null 2>&1 ||
        fail "there is no '$python' here: install Python 3.11 or newer, or name one, as in: make setup PYTHON=python3.12"
    "$python" -c "$is_python_311" ||
        fail "'$python' is $("$python" --version 2>&1), Covey needs 3.11 or newer: name one, as in: make setup PYTHON=python3.12"
    "$python" -m venv "$venv" || {
        rm -rf "$venv"
        fail "'$python -m venv' failed (see above); on Debian and Ubuntu it needs the package python3-venv"
    }
}

install() {
    [ -e "$venv" ] || create
    printf 'covey: installing covey[%s] into %s: %s; once, it may take some minutes\n' "$extras" "$venv" "$size"
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        fail "$venv has no pip: remove it with 'make clean-venv' and run the same command again"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable ".[$extras]" ||
        fail "pip could not install (see above): check the network, then run the same command again"
    printf '%s\n' "$PWD" >"$stamp"
}

command=$1 venv=$2
case $command in
check) check ;;
install)
    extras=$3 stamp=$4 size=$5
    install
    ;;
*) fail "venv.sh knows 'check' and 'install', not '$command'" ;;
esac
