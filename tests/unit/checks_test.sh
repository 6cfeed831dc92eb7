#!/usr/bin/env bash
# The checks must be able to fail: each breach below, planted in a small tree of its own, is found and named.
set -euo pipefail
cd "$(dirname "$0")/../.."

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

cases=0 failures=0
report() {
    cases=$((cases + 1))
    if [ "$1" = 0 ]; then
        echo "ok $cases - $2"
    else
        echo "not ok $cases - $2"
        failures=$((failures + 1))
    fi
}

fresh_tree() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/{src/{base,model,coord,swim,node,wire,store,uv,client,sim,cmd},include,tests/unit,proto}
    echo '#include "base/bytes.h"' >"$tree/src/coord/coord.c"
    printf '#include <uv.h>\n#include "node/node.h"\n' >"$tree/src/uv/loop.c"
    printf '#include <uv.h>\n' >"$tree/src/client/uv_conn.c"
    printf '#include "msg.pb-c.h"\n#include <lz4.h>\n' >"$tree/src/wire/pack.c"
    printf '#include <stdio.h>\n#include "kv_error.h"\n' >"$tree/src/base/buf.c"
}

# breach FILE LINE EXPECTED: with LINE at the end of FILE the check fails and says EXPECTED of that place.
breach() {
    local file=$1 line=$2 expected=$3 said found=1
    fresh_tree
    mkdir -p "$tree/${file%/*}"
    echo "$line" >>"$tree/$file"
    if ! said=$(scripts/check-includes.sh "$tree") &&
        grep -qF -- "$file:$(wc -l <"$tree/$file"): " <<<"$said" && grep -qF -- "$expected" <<<"$said"; then
        found=0
    fi
    report $found "$file: $line"
}

fresh_tree
scripts/check-includes.sh "$tree" && clean=0 || clean=1
report "$clean" "a clean tree passes"

breach src/coord/coord.c '#include "swim/swim.h"' 'coord/ may not include swim/'
breach src/base/buf.c '#include "model/row.h"' 'base/ may not include model/'
breach src/node/node.c '#include "wire/wire.h"' 'node/ may not include wire/'
breach src/uv/loop.c '#  include "coord/coord.h"' 'uv/ may not include coord/'
breach src/coord/coord.c '#include "coord.h"' 'write "folder/coord.h"'
breach src/swim/swim.c '#include <time.h>' 'which is pure'
breach src/node/node.c '#include <pthread.h>' 'which is pure'
breach src/coord/coord.c '#include <sys/socket.h>' 'which is pure'
breach src/node/node.c '#include <uv.h>' '<uv.h> belongs to'
breach src/client/route.c '#include <uv.h>' '<uv.h> belongs to'
breach src/client/route.c '#include "client/uv_conn.h"' "the client's shell"
breach src/client/route.c '#include <time.h>' 'given its time'
breach src/sim/world.c '#include <unistd.h>' 'given its time'
breach src/uv/loop.c '#include <rocksdb/c.h>' '<rocksdb/c.h> belongs to'
breach src/store/rocks.c '#include <lz4.h>' '<lz4.h> belongs to'
breach src/uv/loop.c '#include "msg.pb-c.h"' 'generated headers'
breach src/cmd/kvd.c '#include <protobuf-c/protobuf-c.h>' 'belongs to wire'
breach include/kv.h '#include "base/bytes.h"' 'include/ may not include base/'
breach src/model/row.c '#include "kv.h"' 'may not include kv.h'
breach src/base/buf.c '/* TO''DO later */' 'unfinished'
breach src/base/buf.c '/* see /ho''me/me/notes */' 'the path of somebody'
breach src/extra/new.c '#include <stdint.h>' 'extra/ is not in the table'

fresh_tree
seq -f '/* line %g */' 601 >"$tree/tests/unit/long_test.c"
said=$(scripts/check-includes.sh "$tree") && long=1 || long=0
report "$long" "a file of 601 lines: ${said%%$'\n'*}"

# check-purity.sh, on archives compiled here.
purity() {
    local code=$1 expected=$2 said found=1
    echo "$code" >"$tree/part.c"
    rm -f "$tree/part.a"
    "${CC:-gcc}" -O2 -c -o "$tree/part.o" "$tree/part.c" && ar qcs "$tree/part.a" "$tree/part.o"
    if [ -z "$expected" ]; then
        scripts/check-purity.sh "$tree/part.a" && found=0
    elif ! said=$(scripts/check-purity.sh "$tree/part.a") && grep -qF -- "$expected" <<<"$said"; then
        found=0
    fi
    report $found "purity: $code"
}

purity 'void *malloc(unsigned long); void *f(unsigned long n) { return malloc(n); }' ''
purity 'static const char *const words[] = {"a", "b"}; const char *f(int i) { return words[i]; }' ''
purity 'long time(long *); long f(void) { return time(0); }' 'part.o calls time'
purity 'int puts(const char *); void f(void) { puts("x"); }' 'part.o calls puts'
purity 'static int n; int f(void) { return n++; }' 'writable variables (.bss)'
purity 'static _Thread_local int n = 1; int f(void) { return n++; }' 'writable variables (.tdata)'

echo "1..$cases"
[ "$failures" = 0 ]
