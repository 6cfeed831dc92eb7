#!/usr/bin/env bash
# Real input and odd input: a word list and a table of services, loaded and read back through every node; values
# of every byte, empty and as large as they may be; keys of every length and any bytes.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need_words
words_tsv >"$TMP/words.tsv"
services_tsv >"$TMP/services.tsv"
words=$(wc -l <"$TMP/words.tsv")
services=$(wc -l <"$TMP/services.tsv")
note "$words words, $services services"
up words

load_reports() { # FILE LINES
    run kvcli load "$1"
    matches "all $2 lines of ${1##*/} are loaded" "^$2 loaded, 0 failed" "$out"
    note "$out"
}
load_reports "$TMP/words.tsv" "$words"
load_reports "$TMP/services.tsv" "$services"
for i in 1 2 3 4 5; do
    cat "$TMP/words.tsv" "$TMP/services.tsv" >"$TMP/both.tsv"
    run kvcli --via "n$i" check "$TMP/both.tsv"
    matches "n$i has them all, equal" "^$((words + services)) equal, 0 different or failed, 0 missing" "$out$err"
done

# A check that cannot fail checks nothing.
sed -e '7s/$/ x/' -e '9s/^/no such /' "$TMP/words.tsv" | head -n 20 >"$TMP/wrong.tsv"
exits "check finds one that differs and one that is missing" 1 '18 equal, 1 different or failed, 1 missing.*line ' \
    kvcli check "$TMP/wrong.tsv"

# ---- dump is the inverse of load ----

exits "dump ends well" 0 '' kvcli dump
cp "$TMP/out" "$TMP/dump.tsv"
check "a dump holds just what was loaded" cmp <(sort "$TMP/dump.tsv") <(sort "$TMP/both.tsv")

# ---- values ----

all_bytes() { local i; for i in {0..255}; do printf '%b' "\\x$(printf %02x "$i")"; done; }
all_bytes >"$TMP/bytes"
equals "the value of all bytes is what it should be" 256 "$(od -An -v -tu1 -w1 "$TMP/bytes" | sort -un | wc -l)"
: >"$TMP/empty"
head -c $((8 << 20)) /dev/urandom >"$TMP/large"
for _ in {1..131072}; do echo "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"; done >"$TMP/large-soft"
comes_back() {
    local i
    for i in 1 2 3 4 5; do kvcli --via "n$i" get "value-$1" | cmp - "$TMP/$1" || return; done
}
for value in bytes empty large large-soft; do
    must kvcli put "value-$value" "@$TMP/$value"
    check "a value ($value, $(stat -c %s "$TMP/$value") bytes) comes back through each node" comes_back "$value"
done
must kvcli put value-stdin - <"$TMP/bytes"
check "a value read from standard input" cmp <(kvcli get value-stdin) "$TMP/bytes"
cat "$TMP/large" - <<<"" >"$TMP/too-large"
exits "a value of 8 MiB and 1 byte is too large" 6 too_large kvcli put value-large "@$TMP/too-large"
check "and the one before it stands" cmp <(kvcli get value-large) "$TMP/large"

# ---- keys ----

long_key=$(head -c 4096 /dev/zero | tr '\0' k)
{
    printf 'x\tone byte\n%s\t4096 bytes\n' "$long_key"
    printf '\\x00\ta NUL\nin\\x00side\twith a NUL\nno-word\\x00\tNUL at its end\n'
    printf '구름\tUTF-8\n\\xff\\xfe\tno UTF-8\ntab\\t newline\\n backslash\\\\\tescapes\n'
} >"$TMP/keys.tsv"
run kvcli load "$TMP/keys.tsv"
matches "keys of 1 and 4096 bytes, with NULs, UTF-8 and neither" '^8 loaded, 0 failed' "$out$err"
for i in 1 2 3 4 5; do
    run kvcli --via "n$i" check "$TMP/keys.tsv"
    matches "n$i knows such keys" '^8 equal, 0 different' "$out$err"
done
equals "a key that ends in a NUL is another than without" 1 "$(kvcli get no-word >/dev/null 2>&1; echo $?)"
equals "a UTF-8 key on the command line" UTF-8 "$(kvcli get 구름)"
equals "a key of 4096 bytes on the command line" "4096 bytes" "$(kvcli get "$long_key")"
exits "a key of 4097 bytes is refused" 6 'too_large|invalid' kvcli put "x$long_key" v
exits "so is an empty one" 6 invalid kvcli put "" v

done_testing
