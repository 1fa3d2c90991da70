#!/usr/bin/env bash
# Follows "First day" of docs/operations.md: runs its commands as they stand there, up to Kubernetes.
#
# They run in a folder of their own, with the programs of target/debug, and must not meet services that listen on the
# usual ports. Root runs them as `nobody`, because PostgreSQL refuses root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export CHECKOUT=$PWD
home=${TEPPAN_HOME:-.teppan}
[[ $home == /* ]] || home=$PWD/$home
export PATH=$PWD/target/debug:$home/tools/bin:$PATH
deploy/local/setup.sh postgres grpcurl prometheus

# Prints the ports of the page on which something listens.
used_ports() {
    local port
    for port in 50051 50052 9051 9052 9091 55432; do
        ! (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || echo "$port"
    done
}

[[ -z $(used_ports) ]] || { echo "first-day: something listens on" $(used_ports) >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The first block sets up, builds and makes the folder.
awk '
    /^## / { inside = $0 == "## First day" }
    /^### In Kubernetes/ { inside = 0 }
    inside && /^```sh$/ { block++; taking = 1; next }
    /^```$/ { taking = 0 }
    inside && taking && block > 1' docs/operations.md >"$folder/commands.sh"
[[ -s $folder/commands.sh ]] || { echo "first-day: there are no commands in docs/operations.md" >&2; exit 1; }

as_user=()
if [[ $EUID -eq 0 ]]; then
    chown 65534:65534 "$folder"
    chmod 755 "$folder"
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
cd "$folder"
# Whatever fails, nothing is left running.
${as_user[@]+"${as_user[@]}"} env HOME="$folder" timeout --foreground 600 bash -euo pipefail -c '
    trap "kill \$(jobs -p) 2>/dev/null; [ ! -f postgres/postmaster.pid ] || kill \$(head -n 1 postgres/postmaster.pid)" EXIT
    umask 022
    set -v
    . ./commands.sh
    trap - EXIT'
[[ -z $(used_ports) ]] || { echo "first-day: something still listens on" $(used_ports) >&2; exit 1; }
echo "first-day: every command worked"
