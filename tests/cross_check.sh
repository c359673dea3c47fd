#!/usr/bin/env bash
# Type-checks the whole package, cameras included, for systems that the tests do not run on: macOS and Windows.
# Usage: tests/cross_check.sh [TARGET...]   (default: aarch64-apple-darwin x86_64-pc-windows-msvc)
# Nothing is linked, so no C or C++ of that system is compiled: a stand-in gives empty objects to the build scripts that
# ask for them. What is checked is all the Rust. Exit codes: 0 checked, 1 an error, 77 could not run.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${CARGO_TARGET_DIR:-target}/cross_check
targets=("$@")
[ $# -gt 0 ] || targets=(aarch64-apple-darwin x86_64-pc-windows-msvc)

cannot() {
    printf '\n*** THE CODE FOR %s WAS NOT CHECKED: %s ***\n\n' "$1" "$2" >&2
    exit 77
}

command -v rustup >/dev/null || cannot "${targets[*]}" "it needs rustup for their standard libraries"
for target in "${targets[@]}"; do
    rustup target list --installed | grep -qx "$target" || rustup target add "$target" ||
        cannot "$target" "rustup has no standard library for it"
done

# A compiler and archiver that write empty files under every name that they are told to write to.
mkdir -p "$work"
work=$(cd "$work" && pwd)
cat >"$work/stand-in" <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    -o) : >"$2" && shift ;;
    [-/]Fo*) : >"${1#?Fo}" ;;
    [-/]OUT:* | [-/]out:*) : >"${1#*:}" ;;
    *.a | *.lib) : >"$1" ;;
    esac
    shift
done
END
chmod +x "$work/stand-in"

for target in "${targets[@]}"; do
    name=${target//-/_}
    for tool in CC CXX AR RANLIB; do export "${tool}_$name=$work/stand-in"; done
    # Apple's SDK would be looked for otherwise; only its path is asked for.
    export SDKROOT=$work
    cargo check --release --target "$target" --all-targets
    echo "$target: type-checked, cameras included"
done
