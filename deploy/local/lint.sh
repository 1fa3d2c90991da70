#!/usr/bin/env bash
# Everything that is checked without running a test: format, lints, the contract, the statements, the alerts.
set -euo pipefail
cd "$(dirname "$0")/../.."

home=${TEPPAN_HOME:-.teppan}
deploy/local/setup.sh postgres buf prometheus

echo "== format"
cargo fmt --all --check
echo "== lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
echo "== contract"
"$home/tools/bin/buf" lint
echo "== statements"
deploy/local/queries.sh --check
echo "== alerts"
"$home/tools/bin/promtool" check config deploy/prometheus/prometheus.yml
"$home/tools/bin/promtool" test rules deploy/prometheus/tests/*.yml
