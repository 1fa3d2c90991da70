#!/usr/bin/env bash
# Checks every statement against a database with all migrations, and writes what the compiler needs
# to know about them into each service's .sqlx folder. With --check it changes nothing and fails
# when a folder is not what it would write.
set -euo pipefail
cd "$(dirname "$0")/../.."

check=false
case "${1:-}" in
    "") ;;
    --check) check=true ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

cargo build --quiet -p teppan-shared --bin with-postgres
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

stale=false
for service in booking conversation; do
    variable="${service^^}_DATABASE_URL"
    fresh="$scratch/$service"
    mkdir "$fresh"
    # Only a compilation asks the database: make sure that there is one.
    touch "$service-service/src/lib.rs"
    SQLX_OFFLINE_DIR="$fresh" target/debug/with-postgres \
        --database "$variable=teppan_$service:$service-service/migrations" -- \
        cargo check --quiet -p "$service-service"
    if diff -r "$service-service/.sqlx" "$fresh" >/dev/null 2>&1; then
        echo "$service-service/.sqlx is fresh"
    elif $check; then
        echo "$service-service/.sqlx is stale: run \`make queries\` and commit it" >&2
        stale=true
    else
        rm -rf "$service-service/.sqlx"
        cp -r "$fresh" "$service-service/.sqlx"
        echo "$service-service/.sqlx is written anew"
    fi
done
! $stale
