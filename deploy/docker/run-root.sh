#!/usr/bin/env bash
# Runs a program in the root file system of an image without Docker: read-only, as user 12345. Of this machine the
# program sees only /proc and the network.
#
#   deploy/docker/run-root.sh ROOT_FOLDER PROGRAM [ARGUMENT...]
#   deploy/docker/run-root.sh --check                              whether this machine lets this user do so
#
# The program keeps the process id of this script, so that a signal to the script reaches it.
set -euo pipefail

readonly USER_ID=12345
if [[ $EUID -eq 0 ]]; then
    namespaces=(unshare --mount)
    enter=(chroot "--userspec=$USER_ID:$USER_ID" --groups= "$1")
else
    namespaces=(unshare --user --map-root-user --mount)
    enter=(unshare --user "--map-user=$USER_ID" "--map-group=$USER_ID" "--root=$1" --wd=/)
fi
if [[ $1 == --check ]]; then
    exec "${namespaces[@]}" true
fi
# shellcheck disable=SC2016  # The inner shell expands it.
exec "${namespaces[@]}" bash -c '
    set -e
    root=$1
    shift
    mount --rbind "$root" "$root"
    mount --rbind /proc "$root/proc"
    mount -o remount,bind,ro,nosuid,nodev "$root"
    exec "$@"' bash "$1" "${enter[@]}" "${@:2}"
