#!/usr/bin/env bash
# Copies alerts and recording rules into the Helm chart, and writes deploy/kubernetes: what the chart renders, as plain
# manifests for `kubectl apply`. Its `helm` is the pinned one that scripts/install-python.sh fetches, unless HELM names another.
# Usage: scripts/manifests.sh [FOLDER]
#   FOLDER  where the manifests go, in place of deploy/kubernetes; the chart stays as it is then
set -euo pipefail
cd "$(dirname "$0")/.."

chart=deploy/helm/fulfillment-worker
python=${CARGO_TARGET_DIR:-target}/python
helm=${HELM:-$python/bin/helm}
if ! "$helm" version >/dev/null 2>&1; then
  echo "error: no helm at $helm; run scripts/install-python.sh, or set HELM to the path of helm 3.14 or newer" >&2
  exit 1
fi

folder=${1:-}
if [ -z "$folder" ]; then
  folder=deploy/kubernetes
  cp deploy/prometheus/alerts.yml deploy/prometheus/recording.yml "$chart/files/"
fi
"$helm" template fulfillment-worker "$chart" --namespace fulfillment --values deploy/kubernetes/values.yaml |
  python3 scripts/manifests.py "$folder"
