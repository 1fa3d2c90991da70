#!/usr/bin/env bash
# All checks except the tests: format, lints, dependencies, the contract, the statements, the images, the manifests and
# the alerts.
set -euo pipefail
cd "$(dirname "$0")/../.."

home=${TEPPAN_HOME:-.teppan}
deploy/local/setup.sh postgres buf deny manifests prometheus

echo "== format"
cargo fmt --all --check
echo "== lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
# With the features of the images.
cargo clippy --package booking-service --package conversation-service --no-default-features --quiet -- -D warnings
echo "== dependencies"
"$home/tools/bin/cargo-deny" --offline check --hide-inclusion-graph licenses bans sources
echo "== contract"
"$home/tools/bin/buf" lint
# Against the newest release before this commit: the contract only grows. Pre-releases sort before their release.
released=$(git -c versionsort.suffix=- tag --list 'v*' --merged HEAD --no-contains HEAD --sort=-version:refname | head -n 1)
if [ -n "$released" ]; then
    # A work tree of its own has no folder .git.
    "$home/tools/bin/buf" breaking --against "$(git rev-parse --path-format=absolute --git-common-dir)#tag=$released"
    echo "nothing of $released is broken"
else
    echo "SKIPPED: no tag v* before this commit in this clone, so the contract is compared with no release" >&2
fi
echo "== statements"
deploy/local/queries.sh --check
echo "== images and manifests"
"$home/tools/bin/hadolint" deploy/docker/Dockerfile
PATH=$(cd "$home/tools/bin" && pwd):$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$home/tools/python/manifests \
    deploy/kubernetes/check.py
echo "== alerts"
"$home/tools/bin/promtool" check config deploy/prometheus/prometheus.yml
"$home/tools/bin/promtool" test rules deploy/prometheus/tests/*.yml deploy/kubernetes/components/*/tests.yml
