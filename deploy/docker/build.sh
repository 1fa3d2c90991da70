#!/usr/bin/env bash
# The steps that build the images. The Dockerfile runs them, and `make image-root` runs them without Docker.
#
#   deploy/docker/build.sh compile TARGET_FOLDER
#   deploy/docker/build.sh root BINARY ROOT_FOLDER
#   deploy/docker/build.sh pack ROOT_FOLDER ARCHIVE.tar.gz
#
# compile  builds both services for production, without the private PostgreSQL: TARGET_FOLDER/release/*-service. With
#          cargo-auditable, each binary holds the list of the crates that it was built from.
# root     makes the root file system of an image: the service, the shared libraries that it needs, certificates, and
#          where the binary holds its list of crates, that list as /sbom.cdx.json, written by auditable2cdx. The folder
#          must be absent or empty.
# pack     packs a root as a registry does, to see how large it is.
#
# SOURCE_DATE_EPOCH is the time of every file (default: 0). No file contains the time or the path of its build.
set -euo pipefail
umask 022

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

compile() {
    local target=$1
    mkdir -p "$target"
    target=$(cd "$target" && pwd -P)
    local -a cargo=(cargo)
    ! command -v cargo-auditable >/dev/null || cargo=(cargo auditable)
    # The binaries contain no path of this machine. They contain the names of functions, for backtraces.
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} sysroot
    sysroot=$(rustc --print sysroot)
    export CARGO_ENCODED_RUSTFLAGS
    CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' \
        "--remap-path-prefix=$cargo_home=/cargo" "--remap-path-prefix=$sysroot=/rust" \
        "--remap-path-prefix=$project=/src" "--remap-path-prefix=$target=/target")
    CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%$'\x1f'}
    cd "$project"
    CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=debuginfo \
        "${cargo[@]}" build --release --locked --no-default-features --target-dir "$target" \
        -p booking-service -p conversation-service
}

root() {
    local binary=$1 root=$2 library
    [[ -x $binary ]] || fail "there is no program $binary"
    ! ldd "$binary" | grep 'not found' || fail "$binary needs libraries that this machine lacks"
    [[ ! -e $root || -z $(ls -A "$root") ]] || fail "$root is not empty"
    # Container engines mount over these folders.
    mkdir -p "$root"/{dev,etc/ssl/certs,proc,sys,tmp}
    chmod 1777 "$root/tmp"
    install -m 755 "$binary" "$root/$(basename "$binary")"
    strip --strip-debug "$root/$(basename "$binary")"
    while read -r library; do
        install -D -m 755 "$library" "$root$library"
    done < <(libraries "$binary")
    install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    echo 'teppan:x:65532:65532::/:/sbin/nologin' >"$root/etc/passwd"
    echo 'teppan:x:65532:' >"$root/etc/group"
    if command -v auditable2cdx >/dev/null && readelf --section-headers "$binary" | grep -qF .dep-v0; then
        auditable2cdx "$binary" >"$root/sbom.cdx.json"
        chmod 644 "$root/sbom.cdx.json"
    fi
    find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# libraries BINARY: the paths of the shared libraries that it needs, and of the program that loads them.
libraries() {
    ldd "$1" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }'
}

pack() {
    tar --create --directory "$1" --sort=name --owner=0 --group=0 --numeric-owner --format=posix \
        --pax-option=delete=atime,delete=ctime --mtime="@$SOURCE_DATE_EPOCH" . | gzip -9 --no-name >"$2"
}

main() {
    case ${1:-}/$# in
        compile/2 | root/3 | pack/3) "$@" ;;
        *) fail "usage: build.sh compile TARGET_FOLDER | root BINARY ROOT_FOLDER | pack ROOT_FOLDER ARCHIVE.tar.gz" ;;
    esac
}

main "$@"
