#!/usr/bin/env bash
# stories.sh ARGUMENT...: tells stories, as `cargo test -p lb-stories ARGUMENT...` does. LB_APP is the program they are about.
#
# A machine that others share may stand still for a second, and loses datagrams meanwhile. Stories are to allow for that.
# Those that fail, if they are few, are told once more, one after the other: who fails again has failed. Who does not is
# named at the end with its error, so that it can be mended. Errors are repeated there, because logs of directors are long.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# More than so many fail together for one reason, which is not the machine.
few=4

# What went wrong is said by the error itself; thirty lines of the test harness behind it are too many.
tell() { RUST_BACKTRACE=0 "${CARGO:-cargo}" test --locked --no-fail-fast -p lb-stories "$@" 2>&1 | tee "$log"; }

# The names below the last "failures:" of each program.
failed() {
    awk '/^failures:$/ { names = ""; inside = 1 }
        inside && /^    [a-z0-9_:]+$/ { names = names $1 "\n" }
        /^test result/ { printf "%s", names; names = ""; inside = 0 }' "$log"
}

errors() {
    awk '/^---- .* stdout ----$/ { name = $2 }
        /^Error: |^thread .* panicked at / { left = 8 }
        /^failures:$/ || /^---- / { left = 0 }
        left > 0 && NF > 0 { print "    " name ": " $0; left-- }' "$log"
}

tell "$@"
status=$?
mapfile -t names < <(failed)
[ "$status" -ne 0 ] || exit 0
first=$(errors)
if [ ${#names[@]} -eq 0 ] || [ ${#names[@]} -gt $few ]; then
    echo "Stories that failed: ${#names[@]}"
    echo "$first"
    exit "$status"
fi

echo "Told once more: ${names[*]}"
tell -- --exact --include-ignored --test-threads 1 "${names[@]}"
status=$?
again=$(errors)
if [ "$status" -eq 0 ]; then
    echo "Stories that are to be mended, as they failed once: ${names[*]}"
    echo "$first"
else
    echo "Stories that failed twice, or once and then otherwise: ${names[*]}"
    printf '  the first time:\n%s\n  and then:\n%s\n' "$first" "$again"
fi
exit "$status"
