#!/usr/bin/env bash
# What `make install` and `make dist` leave: programs that run, a library that an application links with nothing but
# the three libraries it names, a unit that names the right program, and the same tarball each time.
# modes: release
# shellcheck disable=SC2154 # lib.sh sets out
. "$(dirname "$0")/lib.sh"

BUILD=${KV_BIN%/*}
make_() { env -u MAKEFLAGS -u MAKELEVEL make -s -C "$TOP" BUILD="$BUILD" MODE="$KV_MODE" "$@"; }
must make_ install DESTDIR="$TMP/root" PREFIX=/opt/gureum
ROOT=$TMP/root/opt/gureum

for program in kvd kvcli kvbench; do
    exits "$program is there and says its version" 0 "^$program .Gureum. " "$ROOT/bin/$program" --version
done
equals "the unit starts the program that was installed" "ExecStart=/opt/gureum/bin/kvd" \
    "$(grep -o '^ExecStart=[^ ]*' "$ROOT/lib/systemd/system/gureum@.service")"
if command -v systemd-analyze >/dev/null; then
    mkdir "$TMP/unit"
    sed "s|/opt/gureum|$ROOT|" "$ROOT/lib/systemd/system/gureum@.service" >"$TMP/unit/gureum@n1.service"
    exits "and has no mistake" 0 '^$' systemd-analyze verify --man=no "$TMP/unit/gureum@n1.service"
else
    skip "and has no mistake" "no systemd-analyze here"
fi
for file in share/doc/gureum/README.md share/doc/gureum/LICENSE include/kv_error.h; do check "$file is there" test -s "$ROOT/$file"; done

# The example in the header's own manual, with an address where nobody lives: at its own there may be another test's nodes.
sed -n '/^ \* \[example\]/,/^ \* \[example end\]/s/^ \*     //p' "$ROOT/include/kv.h" | sed 's/127\.0\.0\.1:[0-9]*/127.0.0.1:1/g' >"$TMP/app.c"
# shellcheck disable=SC2046
check "an application compiles and links" "${CC:-gcc}" -std=gnu11 -Wall -Wextra -Werror -I"$ROOT/include" -o "$TMP/app" "$TMP/app.c" \
    "$ROOT/lib/libkv.a" $(pkg-config --libs libuv libprotobuf-c liblz4 2>/dev/null || echo -luv -lprotobuf-c -llz4) -lm
run timeout 20 "$TMP/app"
matches "and runs" '^put: ' "$out"

if git -C "$TOP" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    must make_ dist
    tarball=$(echo "$BUILD"/gureum-*.tar.gz)
    first=$(sha256sum <"$tarball")
    must make_ dist
    equals "a tarball is the same each time" "$first" "$(sha256sum <"$tarball")"
    must tar -xzf "$tarball" -C "$TMP"
    top=$(echo "$TMP"/gureum-*/)
    check "it holds what building needs" env -u MAKEFLAGS -u MAKELEVEL make -n -C "$top" all
    equals "and nothing that is no source" "" "$(find "$top" -name '*.o' -o -name .git -o -name build)"
    rm -f "$tarball"
else
    skip "a tarball is the same each time" "these are not sources under git"
fi

done_testing
