#!/usr/bin/env bash
# Installs the Debian packages that Gureum is built with. Touches nothing that is there, and asks the network for
# nothing when everything is.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/deps.sh [--test] [--contrast] [--user] [--list]

Installs the packages that building and running Gureum needs and that are not there, with apt. Says first what is
missing and what it runs; asks for sudo only when it is not root.

  --test       also those that `make test` and `make fuzz` need
  --contrast   those that draw the plots of `scripts/cluster.sh contrast`, and no others
  --user       for people without root: downloads the missing packages and what they depend on, and unpacks them
               below .deps/ in the project, where the Makefile finds them; nothing outside the project is changed
  --list       print the packages and stop
  --help       this text

examples:
  scripts/deps.sh                  what `scripts/cluster.sh up` needs
  scripts/deps.sh --test --user    everything, without root
TEXT
}

BUILD_PACKAGES=(
    gcc libc6-dev make pkg-config
    librocksdb-dev libuv1-dev libprotobuf-c-dev protobuf-c-compiler liblz4-dev libxxhash-dev uthash-dev
    libcmocka-dev libedit-dev libjansson-dev libconfuse-dev libjemalloc-dev
    util-linux procps iproute2 # setsid, flock, ps and ss: scripts/cluster.sh
)
TEST_PACKAGES=(
    wamerican netbase # a word list and /etc/services: the tests' real input
    tmux # a terminal for kvcli watch
    shellcheck clang-format-14 clang libclang-rt-14-dev
)
CONTRAST_PACKAGES=(
    gnuplot-nox # plots
)

packages=("${BUILD_PACKAGES[@]}")
user=no list=no
for word; do
    case $word in
    --test) packages+=("${TEST_PACKAGES[@]}") ;;
    --contrast) packages=("${CONTRAST_PACKAGES[@]}") ;;
    --user) user=yes ;;
    --list) list=yes ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; echo "deps.sh: what is '$word'?" >&2; exit 2 ;;
    esac
done
if [ "$list" = yes ]; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

DEPS=.deps
UNPACKED=$DEPS/packages # one name a line: what --user has put there

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    {
        echo "deps.sh: this system has no apt. Gureum is built and tested on Debian 12 with these packages;"
        echo "install what your system calls them (the names end in -dev where headers are needed):"
        printf '    %s\n' "${packages[@]}"
    } >&2
    exit 1
fi

# Who began with --user has no root later either (`make test` calls without it).
[ "$(id -u)" = 0 ] || [ ! -e "$UNPACKED" ] || user=yes

is_there() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ||
        grep -qxF "$1" "$UNPACKED" 2>/dev/null
}

missing=()
for package in "${packages[@]}"; do
    is_there "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "deps.sh: missing: ${missing[*]}"

run() {
    echo "deps.sh: running: $*"
    "$@"
}

install_with_root() {
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            {
                echo "deps.sh: not root, and there is no sudo. Either let root run"
                echo "    apt-get update && apt-get install --no-install-recommends ${missing[*]}"
                echo "or run scripts/deps.sh --user, which needs no root."
            } >&2
            exit 1
        fi
        echo "deps.sh: not root, so sudo may ask for your password (scripts/deps.sh --user needs none)"
        as_root=(sudo)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive)
    run "${as_root[@]}" apt-get update -q
    run "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# Prints the missing packages and those they need that are not installed, as apt would install them.
new_packages() {
    LC_ALL=C apt-get "${apt_options[@]}" install --simulate -q --no-install-recommends "${missing[@]}" |
        sed -n 's/^Inst \([^ ]*\) (.*/\1/p' # an upgrade has [old version] between the two
}

# A -dev package points its libfoo.so at the library beside it. When that library is installed in the system, the
# link leads nowhere here, and the linker would say "cannot find -lfoo". Where libfoo.so is a linker script (libc,
# libm), it names files by their place in the system.
mend_links() {
    local here=$PWD/$DEPS link library path paths
    find "$DEPS/usr/lib" -xtype l -name '*.so*' | while read -r link; do
        library=$(basename "$(readlink "$link")")
        for path in "${link%/*}/$library" "/${link#"$DEPS"/}"; do
            path=$(dirname "$(realpath -m "$path")")/$library
            if [ -e "$path" ]; then
                ln -sfn "$path" "$link"
                break
            fi
        done
    done
    { grep -lIE '^(GROUP|INPUT) ?\(' "$DEPS"/usr/lib/*/*.so || true; } | while read -r link; do
        mapfile -t paths < <(tr ' ()' '\n' <"$link" | sed -n '/^[/]./p' | sort -u)
        for path in "${paths[@]}"; do
            if [ ! -e "$path" ] && [ -e "$here$path" ]; then
                sed -i "s|\([ (]\)$path\([ )]\)|\1$here$path\2|g" "$link"
            fi
        done
    done
}

# Unpacked programs look for their libraries in the system. .deps/run/NAME starts each with the right path.
write_wrappers() {
    local program name
    mkdir -p "$DEPS/run"
    for program in "$DEPS"/usr/bin/*; do
        [ -x "$program" ] || continue
        name=${program##*/}
        cat >"$DEPS/run/$name" <<WRAPPER
#!/bin/sh
deps=\$(cd "\$(dirname "\$0")/.." && pwd)
LD_LIBRARY_PATH=\$deps/usr/lib/$triplet:\$deps/usr/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "\$deps/usr/bin/$name" "\$@"
WRAPPER
        chmod +x "$DEPS/run/$name"
    done
}

install_for_user() {
    local wanted archive triplet directory
    for triplet in /usr/lib/*-linux-gnu*; do
        triplet=${triplet##*/}
        break
    done
    # As in Debian itself: what a package puts into /lib or /bin lands below /usr.
    mkdir -p "$DEPS/archives" "$DEPS"/usr/{lib,lib64,bin,sbin}
    for directory in lib lib64 bin sbin; do ln -sfn "usr/$directory" "$DEPS/$directory"; done

    apt_options=()
    if ! wanted=$(new_packages 2>/dev/null) || [ -z "$wanted" ]; then
        # The system's package lists are absent or too old; fetch our own, beside the project.
        local state=$PWD/$DEPS/apt
        mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
        apt_options=(-o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" -o APT::Sandbox::User='')
        run apt-get "${apt_options[@]}" update -q
        wanted=$(new_packages)
    fi
    # shellcheck disable=SC2086 # a list of names
    (cd "$DEPS/archives" && run apt-get "${apt_options[@]}" -q download $wanted)
    for archive in "$DEPS"/archives/*.deb; do
        # Not `dpkg -x`, which would replace the links made above by directories.
        dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink -C "$DEPS"
    done
    mend_links
    write_wrappers
    # shellcheck disable=SC2086
    printf '%s\n' $wanted "${missing[@]}" | sort -u - "$([ -e "$UNPACKED" ] && echo "$UNPACKED" || echo /dev/null)" \
        >"$UNPACKED.new"
    mv "$UNPACKED.new" "$UNPACKED"
    rm -rf "$DEPS/archives"
    echo "deps.sh: unpacked below $DEPS/; the Makefile finds it there"
    command -v make >/dev/null ||
        echo "deps.sh: make is there too: PATH=\"$PWD/$DEPS/run:\$PATH\" make"
}

if [ "$user" = yes ]; then
    install_for_user
else
    install_with_root
fi

for package in "${missing[@]}"; do
    is_there "$package" || { echo "deps.sh: $package is still missing" >&2; exit 1; }
done
