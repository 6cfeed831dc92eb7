# shellcheck shell=bash
# What a simulation says in JSON, held against expressions, as TAP. Sourced.
number=0

# value JSON NAME [OBJECT]: the number of that name, in that object.
value() {
    local inside=$1
    if [ $# = 3 ]; then
        inside=${inside#*"\"$3\":{"}
        inside=${inside%%\}*}
    fi
    sed -n "s/.*\"$2\":\"\{0,1\}\([0-9a-f.]*\).*/\1/p" <<<"$inside"
}

# holds TEXT JSON EXPRESSION...: one TAP line; each expression is awk's, of numbers.
holds() {
    local text=$1 json=$2 expression failed=
    shift 2
    number=$((number + 1))
    for expression in "$@"; do
        [ "$(awk "BEGIN { print ($expression) ? 1 : 0 }")" = 1 ] || failed+=" $expression;"
    done
    if [ -z "$failed" ]; then
        echo "ok $number - $text"
    else
        echo "not ok $number - $text"
        echo "# does not hold:$failed"
        echo "# $json"
    fi
}
