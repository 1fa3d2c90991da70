#!/usr/bin/env bash
# Checks every statement against a database with all migrations, and writes the data that the compiler needs about them
# into the .sqlx folder of each crate. With --check it changes nothing, and fails when a folder is stale.
set -euo pipefail
# A setting that forbids the database would empty the folders.
unset SQLX_OFFLINE
cd "$(dirname "$0")/../.."

check=false
case "${1:-}" in
    "") ;;
    --check) check=true ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

cargo build --quiet -p teppan-shared --no-default-features --features private-postgres --bin with-postgres
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

stale=false
# Checks the statements of a crate ($1) in folder $2, whose sqlx.toml names the variable $3, against the tables of
# service $4.
check_crate() {
    local folder=$2 fresh="$scratch/$2"
    mkdir "$fresh"
    # Only a compilation checks the statements: force one.
    touch "$folder/src/lib.rs"
    SQLX_OFFLINE_DIR="$fresh" target/debug/with-postgres \
        --database "$3=teppan_$4:$4-service/migrations" -- cargo check --quiet -p "$1"
    if diff -r "$folder/.sqlx" "$fresh" >/dev/null 2>&1; then
        echo "$folder/.sqlx is fresh"
    elif $check; then
        echo "$folder/.sqlx is stale: run \`make queries\` and commit it" >&2
        stale=true
    else
        rm -rf "$folder/.sqlx"
        cp -r "$fresh" "$folder/.sqlx"
        echo "$folder/.sqlx is renewed"
    fi
}
check_crate teppan-shared shared OUTBOX_DATABASE_URL booking
for service in booking conversation; do
    check_crate "$service-service" "$service-service" "${service^^}_DATABASE_URL" "$service"
done
! $stale
