# shellcheck shell=bash Debian packages, unpacked into the project's folder. setup.sh sources this file, which uses its
# `home`, `partial` and `say`.

# fetch_debian NAME PACKAGE/VERSION/SHA256...: unpacks packages into tools/debian/NAME, which is complete or absent. A
# hash is that of the package for amd64 or for all machines. If Debian has replaced a version by a newer one, as
# security fixes do, or the machine is not amd64, only apt verifies the package, by the signature of the archive.
fetch_debian() {
    local name=$1 pinned package version hash file
    shift
    local target=$home/tools/debian/$name
    [[ ! -f $target/pinned || $(<"$target/pinned") != "$*" ]] || return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    partial=$target.partial.$$
    mkdir -p "$partial/packages" "$partial/root"
    know_packages "${1%%/*}" || return 1
    say "getting $name from Debian ..."
    for pinned in "$@"; do
        IFS=/ read -r package version hash <<<"$pinned"
        (
            cd "$partial/packages"
            "${apt[@]}" download "$package=$version" >/dev/null 2>&1 && exit
            say "Debian has no $package $version any more: getting the newest version"
            "${apt[@]}" download "$package" >/dev/null
        ) || return 1
        # apt writes a colon of a version as %3a.
        for file in "$partial/packages/${package}_"*.deb; do
            if [[ $file == *"_${version//:/%3a}_"@(amd64|all).deb ]]; then
                echo "$hash  $file" | sha256sum --check --quiet || return 1
            fi
            dpkg-deb --extract "$file" "$partial/root" || return 1
        done
    done
    rm -r "$partial/packages"
    echo "$*" >"$partial/pinned"
    rm -rf "$target"
    mv "$partial" "$target"
    partial=
}

# know_packages PACKAGE: sets `apt` to a command that knows the package: with the machine's lists, or with lists in the
# project's folder if the machine has none, as in a container.
know_packages() {
    apt=(apt-get --quiet --quiet -o APT::Sandbox::User=)
    [[ -z $(apt-cache show "$1" 2>/dev/null) ]] || return 0
    local state=$home/tools/debian/apt
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    apt+=(-o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache" -o Debug::NoLocking=1)
    "${apt[@]}" update
}
