#!/bin/sh
# Prints the Python to build .venv with: $1 where one was asked for, else the first usual name that is new enough.
# In shell, because it must also run where no Python does.

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "$1" ]; then
    candidates=$1
else
    candidates='python3 python3.13 python3.12 python3.11 python'
fi

for candidate in $candidates; do
    if new_enough "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done

found=$("${1:-python3}" -c 'import sys; sys.stdout.write(".".join(map(str, sys.version_info[:3])))' 2>/dev/null)
echo "The course needs Python 3.11 or newer; ${1:-python3} is ${found:-not there}. Install a newer one, then: make PYTHON=/path/to/python3" >&2
exit 1
