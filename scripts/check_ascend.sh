#!/usr/bin/env bash
# For an owner of Ascend devices: what Ray sees, training in graph and in PyNative mode with their compile times, a
# checkpoint, and two devices that train together. A minute. --target cpu rehearses it; --address auto: on a cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" -m esr_ray.runtime.device_check "$@"
