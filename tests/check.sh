#!/bin/sh
# check.sh: what `make check` runs beside rustfmt and clippy: spelling, widths of Markdown, dependencies, the oldest
# compiler, licences. Everything is checked before it fails.
#
# Programs that are not there, in exactly these versions, are compiled once into the user's cache.
set -eu
cd "$(dirname "$0")/.."
tools=${XDG_CACHE_HOME:-$HOME/.cache}/lb-app
failed=
fails() { echo "make check: $*" >&2; failed=1; }

# tool CRATE VERSION PROGRAM: the path of the program.
tool() {
    root=$tools/$1-$2
    if [ ! -x "$root/bin/$3" ]; then
        echo "Compiling $1 $2, which takes two minutes and is done once" >&2
        # Not optimised: it runs for a second. Outside the tree, so that a clean clone has it.
        cargo install --quiet --locked --debug --root "$root" --target-dir "$root/target" "$1" --version "=$2" >&2
        rm -rf "$root/target"
    fi
    echo "$root/bin/$3"
}

# typos: PyPI has the program compiled.
typos=$tools/typos-1.52.0/bin/typos
if [ ! -x "$typos" ]; then
    python3 -m pip install --quiet --no-deps --disable-pip-version-check --root-user-action=ignore \
        --target "$tools/typos-1.52.0" typos==1.52.0 >/dev/null 2>&1 ||
        typos=$(tool typos-cli 1.52.0 typos)
fi
"$typos" --format brief . || fails "if a word is right, it belongs into typos.toml"

# Lines of prose. A table's row cannot be broken, and neither can a link, nor what programs print.
git ls-files -z --cached --others --exclude-standard '*.md' | xargs -0 awk '
    FNR == 1 { fenced = 0 }
    /^ *```/ { fenced = !fenced }
    !fenced && !/^ *\|/ && !/\]\([^ )]*\)[.,;:)]*$/ && length($0) > 120 {
        printf "%s:%d: %d columns, more than 120\n", FILENAME, FNR, length($0); long = 1
    }
    END { exit long }' || fails "lines of Markdown are too long"

# Licences, versions, registries. The list of advisories is in a repository, which not every machine reaches.
deny=$(tool cargo-deny 0.20.2 cargo-deny)
"$deny" --locked --log-level error check --hide-inclusion-graph bans licenses sources || fails "dependencies: see deny.toml"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! timeout 60 "$deny" --locked --log-level error check advisories >"$log" 2>&1; then
    if grep -q 'failed to fetch advisory database' "$log"; then
        echo "advisories: not checked, because their list cannot be reached from here"
    else
        cat "$log" >&2
        fails "an advisory concerns a dependency"
    fi
fi

# The oldest compiler. Clippy knows what is newer in the standard library than it (incompatible_msrv); of dependencies,
# their manifests say so. Where it is the one that is installed, everything is compiled with it anyway.
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
newer() { [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$1" ]; }
cargo metadata --locked --format-version 1 | tr , '\n' | sed -n 's/^"manifest_path":"\(.*\)\/Cargo.toml"$/\1/p; s/^"rust_version":"\(.*\)"$/ \1/p' |
    awk '/^ / { print $1, crate; next } { sub(/.*\//, ""); crate = $0 }' >"$log"
while read -r needed crate; do
    ! newer "${needed%.0}" "${oldest%.0}" || fails "$crate needs Rust $needed, but Cargo.toml says $oldest"
done <"$log"
for page in README.md CONTRIBUTING.md; do
    grep -q "Rust $oldest or later" $page || fails "$page does not say \"Rust $oldest or later\", as Cargo.toml does"
done

docker/notices >/dev/null || fails "not every crate has a licence"
[ -z "$failed" ]
